package mem_test

import (
	"testing"

	"github.com/shmwire/shmwire/internal/mem"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestWordsLieWhereTheOffsetSays(t *testing.T) {
	b := mem.AlignedBytes(64)
	mem.Uint64At(b, 8).Store(0x0102030405060708)
	mem.Uint32At(b, 60).Store(0xfffefdfc)
	words := mem.Uint64s(b, 0, 8)
	require.Len(t, words, 8)
	assert.Equal(t, uint64(0x0102030405060708), words[1].Load())
	assert.Equal(t, []byte{0, 0, 0, 0}, b[56:60])
	assert.NotZero(t, b[63])
}

func TestBadOffsetsPanic(t *testing.T) {
	b := mem.AlignedBytes(64)
	tests := []struct {
		name string
		call func()
	}{
		{"64-bit word past the end", func() { mem.Uint64At(b, 60) }},
		{"64-bit word at the end", func() { mem.Uint64At(b, 64) }},
		{"64-bit word beyond", func() { mem.Uint64At(b, 1<<30) }},
		{"negative offset", func() { mem.Uint32At(b, -4) }},
		{"misaligned 64-bit word", func() { mem.Uint64At(b, 4) }},
		{"misaligned 32-bit word", func() { mem.Uint32At(b, 2) }},
		{"too many words", func() { mem.Uint64s(b, 8, 8) }},
		{"no words", func() { mem.Uint64s(b, 8, 0) }},
		{"word count that overflows", func() { mem.Uint64s(b, 8, int(^uint(0)>>1)) }},
		{"nil region", func() { mem.Uint32At(nil, 0) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { assert.Panics(t, tt.call) })
	}
}

func TestAlignedBytes(t *testing.T) {
	for _, n := range []int{1, 127, 128, 129, 4096} {
		b := mem.AlignedBytes(n)
		assert.Len(t, b, n)
		assert.Equal(t, n, cap(b))
		assert.True(t, mem.Aligned(b, mem.LineBytes))
	}
	assert.False(t, mem.Aligned(mem.AlignedBytes(64)[8:], 16))
}

func TestReleaseStorePublishes(t *testing.T) {
	const rounds = 20000
	var ready, taken mem.Word64
	var payload [2]uint64
	go func() {
		for i := uint64(1); i <= rounds; i++ {
			for taken.Load() != i-1 {
				mem.Pause(1)
			}
			payload[i&1] = i * 3
			mem.StoreRelease64(&ready, i)
		}
	}()
	for i := uint64(1); i <= rounds; i++ {
		for ready.Load() != i {
			mem.Pause(1)
		}
		if got := payload[i&1]; got != i*3 {
			t.Fatalf("round %d: payload %d, want %d", i, got, i*3)
		}
		taken.Store(i)
	}
}

func TestStores(t *testing.T) {
	var w [3]mem.Word64
	mem.StorePlain64(&w[0], 1<<63|1)
	mem.StoreRelease64(&w[2], 1<<62|2)
	assert.Equal(t, []uint64{1<<63 | 1, 0, 1<<62 | 2}, []uint64{w[0].Load(), w[1].Load(), w[2].Load()})
	mem.PrefetchLines(&mem.AlignedBytes(8)[3], 0)
	mem.PrefetchLines(&mem.AlignedBytes(8)[3], 1000) // beyond all memory of ours, too
	mem.Pause(0)
	mem.Pause(3)
}
