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
