//go:build shmsteps

package mem_test

import (
	"encoding/binary"
	"reflect"
	"sync/atomic"
	"testing"

	"github.com/shmwire/shmwire/internal/mem"
	"github.com/stretchr/testify/assert"
)

// recorder makes accesses to a region and remembers them.
type recorder struct {
	region []byte
	seen   []mem.Access
}

func (r *recorder) do(a mem.Access) uint64 {
	r.seen = append(r.seen, a)
	was := binary.NativeEndian.Uint64(r.region[a.Offset&^7:])
	if a.Size == 4 {
		was = uint64(binary.NativeEndian.Uint32(r.region[a.Offset:]))
	}
	return was
}

func TestWordsAreAsLargeAsRealOnes(t *testing.T) {
	for _, tt := range []struct {
		name       string
		twin, real reflect.Type
	}{
		{"64 bits", reflect.TypeFor[mem.Word64](), reflect.TypeFor[atomic.Uint64]()},
		{"32 bits", reflect.TypeFor[mem.Word32](), reflect.TypeFor[atomic.Uint32]()},
	} {
		t.Run(tt.name, func(t *testing.T) {
			assert.Equal(t, tt.real.Size(), tt.twin.Size())
			assert.Equal(t, tt.real.Align(), tt.twin.Align())
		})
	}
}

func TestEveryAccessIsIntercepted(t *testing.T) {
	r := &recorder{region: mem.AlignedBytes(64)}
	binary.NativeEndian.PutUint64(r.region[8:], 5)
	binary.NativeEndian.PutUint32(r.region[20:], 6)
	w, v := mem.Uint64At(r.region, 8), mem.Uint32At(r.region, 20)
	end := mem.Intercept(r.region, r.do)
	for _, tt := range []struct {
		name   string
		call   func() any
		result any
		want   mem.Access
	}{
		{"load", func() any { return w.Load() }, uint64(5), mem.Access{Offset: 8, Size: 8, Kind: mem.AccessLoad}},
		{"store", func() any { w.Store(7); return nil }, nil, mem.Access{Offset: 8, Size: 8, Kind: mem.AccessStore, Value: 7}},
		{"add", func() any { return w.Add(7) }, uint64(12), mem.Access{Offset: 8, Size: 8, Kind: mem.AccessAdd, Value: 7}},
		{"swap", func() any { return w.Swap(7) }, uint64(5), mem.Access{Offset: 8, Size: 8, Kind: mem.AccessSwap, Value: 7}},
		{
			"compare-and-swap", func() any { return w.CompareAndSwap(5, 7) }, true,
			mem.Access{Offset: 8, Size: 8, Kind: mem.AccessCompareAndSwap, Value: 7, Old: 5},
		},
		{
			"failing compare-and-swap", func() any { return w.CompareAndSwap(4, 7) }, false,
			mem.Access{Offset: 8, Size: 8, Kind: mem.AccessCompareAndSwap, Value: 7, Old: 4},
		},
		{
			"release store", func() any { mem.StoreRelease64(w, 7); return nil }, nil,
			mem.Access{Offset: 8, Size: 8, Kind: mem.AccessStoreRelease, Value: 7},
		},
		{
			"plain store", func() any { mem.StorePlain64(w, 7); return nil }, nil,
			mem.Access{Offset: 8, Size: 8, Kind: mem.AccessStorePlain, Value: 7},
		},
		{"load of 32 bits", func() any { return v.Load() }, uint32(6), mem.Access{Offset: 20, Size: 4, Kind: mem.AccessLoad}},
		{"store of 32 bits", func() any { v.Store(7); return nil }, nil, mem.Access{Offset: 20, Size: 4, Kind: mem.AccessStore, Value: 7}},
		{
			"subtraction of 32 bits", func() any { return v.Add(^uint32(0)) }, uint32(5),
			mem.Access{Offset: 20, Size: 4, Kind: mem.AccessAdd, Value: 1<<32 - 1},
		},
		{"swap of 32 bits", func() any { return v.Swap(7) }, uint32(6), mem.Access{Offset: 20, Size: 4, Kind: mem.AccessSwap, Value: 7}},
		{
			"compare-and-swap of 32 bits", func() any { return v.CompareAndSwap(6, 7) }, true,
			mem.Access{Offset: 20, Size: 4, Kind: mem.AccessCompareAndSwap, Value: 7, Old: 6},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r.seen = nil
			assert.Equal(t, tt.result, tt.call())
			assert.Equal(t, []mem.Access{tt.want}, r.seen)
		})
	}
	end()
	r.seen = nil
	w.Store(9)
	v.Store(10)
	assert.Equal(t, []any{uint64(9), uint32(10)}, []any{w.Load(), v.Load()})
	assert.Empty(t, r.seen)
}

func TestOnlyTheRegionIsIntercepted(t *testing.T) {
	all := mem.AlignedBytes(3 * mem.LineBytes)
	r := &recorder{region: all[mem.LineBytes : 2*mem.LineBytes]}
	defer mem.Intercept(r.region, r.do)()
	other := &recorder{region: mem.AlignedBytes(64)}
	defer mem.Intercept(other.region, other.do)()
	mem.Uint64At(all, mem.LineBytes-8).Store(1)
	mem.Uint64At(all, 2*mem.LineBytes).Store(1)
	assert.Empty(t, r.seen)
	mem.Uint64At(all, 2*mem.LineBytes-8).Load()
	mem.Uint64At(other.region, 0).Load()
	assert.Equal(t, mem.LineBytes-8, r.seen[0].Offset)
	assert.Len(t, r.seen, 1)
	assert.Len(t, other.seen, 1)
}

func TestKindsHaveNames(t *testing.T) {
	assert.Equal(t, "load", mem.AccessLoad.String())
	assert.Equal(t, "compare-and-swap", mem.AccessCompareAndSwap.String())
	assert.Equal(t, "AccessKind(99)", mem.AccessKind(99).String())
}
