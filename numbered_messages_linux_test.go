package shmwire_test

import (
	"encoding/binary"
	"fmt"
)

// stream numbers the messages of one sender, so that every byte that arrives can be checked: length and bytes of
// message i follow from the stream and i, and it begins with i if there is room. The C peer has the same.
type stream struct {
	id      uint64
	longest int // bytes
}

// append appends message i to b.
func (s stream) append(b []byte, i uint64) []byte {
	seed := mixed(s.id<<56 ^ i)
	n := s.length(seed)
	for at := 0; at < n; at += 8 {
		word := i
		if at > 0 {
			word = mixed(seed + uint64(at))
		}
		var chunk [8]byte
		binary.NativeEndian.PutUint64(chunk[:], word)
		b = append(b, chunk[:min(n-at, 8)]...)
	}
	return b
}

// length has empty messages, some of the greatest length, some of any, and most short.
func (s stream) length(seed uint64) int {
	switch most := uint64(s.longest); seed & 15 {
	case 0:
		return 0
	case 1:
		return s.longest
	case 2:
		return int((seed >> 4) % (most + 1))
	default:
		return int((seed >> 4) % (min(most, 96) + 1))
	}
}

// check compares a message with what message i must be, for which buf is scratch space.
func (s stream) check(msg, buf []byte, i uint64) error {
	if want := s.append(buf[:0], i); string(msg) != string(want) {
		return fmt.Errorf("message %d of stream %#x: got %d bytes %.40x, want %d bytes %.40x", i, s.id, len(msg), msg,
			len(want), want)
	}
	return nil
}

// mixed is the finalizer of splitmix64.
func mixed(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
