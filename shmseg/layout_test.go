package shmseg_test

import (
	"errors"
	"math"
	"testing"

	"github.com/shmwire/shmwire/internal/shmtest"
	"github.com/shmwire/shmwire/shmseg"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestLayout(t *testing.T) {
	tests := []struct {
		name    string
		regions []int
		offsets []int
		total   int
	}{
		{"one byte", []int{1}, []int{4096}, 8192},
		{"exactly one unit", []int{4096}, []int{4096}, 8192},
		{"one byte more", []int{4097}, []int{4096}, 12288},
		{"aligned neighbours", []int{128, 128}, []int{4096, 4224}, 8192},
		{"padded neighbours", []int{1, 129, 1}, []int{4096, 4224, 4480}, 8192},
		{"padding alone crosses a unit", []int{4095, 1}, []int{4096, 8192}, 12288},
		{"a ring's two", []int{266240, 512}, []int{4096, 270336}, 274432},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			offsets, total := shmseg.Layout(tt.regions...)
			assert.Equal(t, tt.offsets, offsets)
			assert.Equal(t, tt.total, total)
		})
	}
}

func TestLayoutHoldsForRandomSizes(t *testing.T) {
	rnd := shmtest.Rand(t)
	for range 300 {
		sizes := make([]int, 1+rnd.IntN(shmseg.MaxRegions))
		for i := range sizes {
			sizes[i] = 1 + rnd.IntN(1<<(1+rnd.IntN(20)))
		}
		offsets, total := shmseg.Layout(sizes...)
		end := shmseg.HeaderBytes
		for i, off := range offsets {
			require.GreaterOrEqual(t, off, end, "region %d of %v", i, sizes)
			require.Less(t, off-end, 128, "region %d of %v", i, sizes)
			require.Zero(t, off%128, "region %d of %v", i, sizes)
			end = off + sizes[i]
		}
		require.GreaterOrEqual(t, total, end, "%v", sizes)
		require.Less(t, total-end, 4096, "%v", sizes)
		require.Zero(t, total%4096, "%v", sizes)
	}
}

// badRegions are sizes that cannot be laid out.
func badRegions() map[string][]int {
	return map[string][]int{
		"no region":              {},
		"too many":               make([]int, shmseg.MaxRegions+1),
		"an empty one":           {64, 0},
		"a negative one":         {-1},
		"the most negative one":  {math.MinInt},
		"one beyond an int":      {math.MaxInt},
		"a total beyond an int":  {math.MaxInt/2 + 1, math.MaxInt/2 + 1},
		"no room for the offset": {math.MaxInt - shmseg.HeaderBytes, 1},
		"no room to round up":    {math.MaxInt - shmseg.HeaderBytes - 1},
	}
}

func TestLayoutRefuses(t *testing.T) {
	for name, regions := range badRegions() {
		t.Run(name, func(t *testing.T) {
			assert.Panics(t, func() { shmseg.Layout(regions...) })
		})
	}
}

func TestLargestLayout(t *testing.T) {
	largest := math.MaxInt&^4095 - shmseg.HeaderBytes
	_, total := shmseg.Layout(largest)
	assert.Equal(t, math.MaxInt&^4095, total)
}

func TestKind(t *testing.T) {
	assert.Equal(t, "memfd", shmseg.Memfd.String())
	assert.Equal(t, "named", shmseg.Named.String())
	assert.Equal(t, "sysv", shmseg.SysV.String())
	assert.Equal(t, "Kind(4)", shmseg.Kind(4).String())
	assert.Equal(t, []uint32{1, 2, 3}, []uint32{uint32(shmseg.Memfd), uint32(shmseg.Named), uint32(shmseg.SysV)})
}

func TestErrorsSayWhatWhereGotWant(t *testing.T) {
	header := &shmseg.HeaderError{Field: "version", Offset: 8, Got: "2", Want: "1", Err: shmseg.ErrVersion}
	assert.EqualError(t, header, "unknown segment version: version at byte 8: got 2, want 1")
	assert.ErrorIs(t, header, shmseg.ErrVersion)

	attach := &shmseg.AttachError{Check: shmseg.CheckSize, Got: "1 bytes", Want: "2 bytes"}
	assert.EqualError(t, attach, "check size: got 1 bytes, want 2 bytes")
	assert.NoError(t, errors.Unwrap(attach))

	failed := &shmseg.AttachError{Check: shmseg.CheckSeals, Want: "four", Err: assert.AnError}
	assert.EqualError(t, failed, "check seals: want four: "+assert.AnError.Error())
	assert.ErrorIs(t, failed, assert.AnError)
}
