package mem

import (
	"fmt"
	"unsafe"
)

// LineBytes is the distance kept between words that different processes write: two 64-byte cache lines, because
// adjacent-line prefetching couples pairs of lines. It is part of the layout, so it is the same everywhere.
const LineBytes = 128

// Uint64At returns the 64-bit word at byte offset off of b.
// It panics if the word does not lie in b or is not 8-byte aligned in memory.
func Uint64At(b []byte, off int) *Word64 {
	return (*Word64)(at(b, off, 8, 1))
}

// Uint32At returns the 32-bit word at byte offset off of b.
// It panics if the word does not lie in b or is not 4-byte aligned in memory.
func Uint32At(b []byte, off int) *Word32 {
	return (*Word32)(at(b, off, 4, 1))
}

// Uint64s returns the n 64-bit words that start at byte offset off of b.
// It panics if they do not lie in b or are not 8-byte aligned in memory.
func Uint64s(b []byte, off, n int) []Word64 {
	return unsafe.Slice((*Word64)(at(b, off, 8, n)), n)
}

// Aligned reports whether b starts at a multiple of n bytes, a power of two.
func Aligned(b []byte, n int) bool {
	return uintptr(unsafe.Pointer(unsafe.SliceData(b)))&uintptr(n-1) == 0
}

// AlignedBytes returns n zeroed bytes of heap memory that start on a [LineBytes] boundary.
// The race detector sees this memory, which it does not do for mappings.
func AlignedBytes(n int) []byte {
	b := make([]byte, n+LineBytes)
	skip := int(-uintptr(unsafe.Pointer(unsafe.SliceData(b))) & (LineBytes - 1))
	return b[skip : skip+n : skip+n]
}

func at(b []byte, off, size, n int) unsafe.Pointer {
	if n < 1 || off < 0 || off > len(b) || (len(b)-off)/size < n {
		panic(fmt.Sprintf("mem: %d words of %d bytes at offset %d of %d bytes", n, size, off, len(b)))
	}
	p := unsafe.Pointer(&b[off])
	if uintptr(p)&uintptr(size-1) != 0 {
		panic(fmt.Sprintf("mem: word of %d bytes at misaligned address %#x (offset %d)", size, uintptr(p), off))
	}
	return p
}
