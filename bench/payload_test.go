package bench_test

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
)

const (
	// lastFlag is a bit in the number of the last message of a slice.
	lastFlag = 1 << 63
	// chunk is how many bytes of a message are written or compared at once.
	chunk = 4096
)

// pattern is what messages are made of: each chunk is a window of it, whose place depends on the message's number and
// on the chunk's place in the message. So every byte depends on both, and writing and comparing all of them costs little
// beside moving them. The C reference does the same with bytes of its own.
type pattern []byte

func newPattern() pattern {
	p := make(pattern, 2*chunk)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := 0; i < len(p); i += 8 {
		binary.LittleEndian.PutUint64(p[i:], rng.Uint64())
	}
	return p
}

// window is chunk k of message number.
func (p pattern) window(number, k uint64) []byte {
	at := (number + k) * 8 % chunk
	return p[at : at+chunk]
}

// fill writes message number, its number first.
func (p pattern) fill(msg []byte, number uint64) {
	if len(msg) <= chunk { // in a hurry
		copy(msg, p.window(number, 0))
		binary.LittleEndian.PutUint64(msg, number)
		return
	}
	for k, rest := uint64(0), msg; len(rest) > 0; k++ {
		rest = rest[copy(rest, p.window(number, k)):]
	}
	binary.LittleEndian.PutUint64(msg, number)
}

// number reads the number of a message.
func number(msg []byte) uint64 { return binary.LittleEndian.Uint64(msg) }

// intact reads every byte and reports whether msg is message number.
func (p pattern) intact(msg []byte, num uint64) bool {
	if number(msg) != num {
		return false
	}
	if len(msg) <= chunk { // in a hurry
		return string(msg[8:]) == string(p.window(num, 0)[8:len(msg)])
	}
	first := min(len(msg), chunk)
	if !bytes.Equal(msg[8:first], p.window(num, 0)[8:first]) {
		return false
	}
	for k, rest := uint64(1), msg[first:]; len(rest) > 0; k++ {
		n := min(len(rest), chunk)
		if !bytes.Equal(rest[:n], p.window(num, k)[:n]) {
			return false
		}
		rest = rest[n:]
	}
	return true
}

// sums has at place i the sum of a pattern's first i words of 64 bits.
type sums []uint64

func (p pattern) sums() sums {
	s := make(sums, 1+len(p)/8)
	for i := range len(p) / 8 {
		s[i+1] = s[i] + binary.LittleEndian.Uint64(p[8*i:])
	}
	return s
}

// of is what sum says of message number of size bytes, a multiple of 8.
func (s sums) of(p pattern, size int, num uint64) uint64 {
	total := num - number(p.window(num, 0)) // whose place the number has taken
	for k := uint64(0); size > 0; k++ {
		from, n := (num+k)%(chunk/8), min(size, chunk)
		total += s[from+uint64(n)/8] - s[from]
		size -= n
	}
	return total
}

// sum adds up the words of 64 bits of b, a multiple of 8 bytes: it reads every byte, and is done sooner than they come
// from another processor.
func sum(b []byte) uint64 {
	var s0, s1, s2, s3 uint64
	for ; len(b) >= 64; b = b[64:] {
		s0 += binary.LittleEndian.Uint64(b[0:]) + binary.LittleEndian.Uint64(b[32:])
		s1 += binary.LittleEndian.Uint64(b[8:]) + binary.LittleEndian.Uint64(b[40:])
		s2 += binary.LittleEndian.Uint64(b[16:]) + binary.LittleEndian.Uint64(b[48:])
		s3 += binary.LittleEndian.Uint64(b[24:]) + binary.LittleEndian.Uint64(b[56:])
	}
	for ; len(b) >= 8; b = b[8:] {
		s0 += binary.LittleEndian.Uint64(b)
	}
	return s0 + s1 + s2 + s3
}
