package shmseg

import (
	"fmt"
	"math"

	"github.com/shmwire/shmwire/internal/mem"
)

const (
	// HeaderBytes is the size of the header at the start of every segment. The first region starts there.
	HeaderBytes = 4096
	// MaxRegions is the largest number of regions in a segment.
	MaxRegions = 32

	// sizeUnit divides every segment's size. Two sides compute the size on their own and it has to come out the same,
	// so it cannot be the page size of the machine: that differs between kernels of one architecture (4 to 64 KiB on
	// arm64). Mapping a file that ends inside a page is fine; the rest of that page belongs to nobody.
	sizeUnit = 4096
)

// Layout returns where regions of the given sizes (bytes) lie in a segment, and the size of that segment. Every region
// starts at a multiple of 128 bytes, so that words of different regions share no pair of cache lines; the total is a
// multiple of 4096 on every machine.
//
// It panics if there are no regions or more than [MaxRegions], if one is smaller than 1 byte, or if the total does
// not fit an int.
func Layout(regionBytes ...int) (offsets []int, total int) {
	offsets, total, err := layout(regionBytes)
	if err != nil {
		panic("shmseg: " + err.Error())
	}
	return offsets, total
}

func layout(sizes []int) (offsets []int, total int, err error) {
	if len(sizes) < 1 || len(sizes) > MaxRegions {
		return nil, 0, fmt.Errorf("%w: %d regions, want 1 to %d", ErrGeometry, len(sizes), MaxRegions)
	}
	end := HeaderBytes
	offsets = make([]int, len(sizes))
	for i, size := range sizes {
		start, fits := roundUp(end, mem.LineBytes)
		if size < 1 || !fits || size > math.MaxInt-start {
			return nil, 0, fmt.Errorf("%w: region %d of %d bytes at offset %d, want 1 byte to what fits an int",
				ErrGeometry, i, size, start)
		}
		offsets[i], end = start, start+size
	}
	total, fits := roundUp(end, sizeUnit)
	if !fits {
		return nil, 0, fmt.Errorf("%w: regions of %d bytes in all, want what fits an int", ErrGeometry, end)
	}
	return offsets, total, nil
}

// roundUp returns the next multiple of unit, a power of two, that is not below n >= 0, and whether there is one.
func roundUp(n, unit int) (int, bool) {
	if n > math.MaxInt-(unit-1) {
		return n, false
	}
	return (n + unit - 1) &^ (unit - 1), true
}
