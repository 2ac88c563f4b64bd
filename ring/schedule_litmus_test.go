//go:build shmsteps

package ring_test

import (
	"testing"

	"github.com/shmwire/shmwire/internal/mem"
	"github.com/stretchr/testify/assert"
)

// litmus runs two tasks on words 0 and 1 often, and returns which pairs of results were seen.
func litmus(t *testing.T, first, second func(w []mem.Word64) uint64) map[[2]uint64]bool {
	t.Helper()
	l := newLab(t, 1024, 1024)
	seen := map[[2]uint64]bool{}
	for number := range uint64(2000) {
		var got [2]uint64
		err := l.once(1, number, nil, func(l *lab) func() error {
			l.prod.reset(1024, 0)
			l.prod.quiet = func(int) bool { return false }
			w := mem.Uint64s(l.prod.bytes, 0, 2)
			l.s.start("first", l.prod, func(*task) { got[0] = first(w) })
			l.s.start("second", l.prod, func(*task) { got[1] = second(w) })
			return func() error { return nil }
		})
		assert.NoError(t, err)
		seen[got] = true
	}
	return seen
}

// The model of memory must be weak enough to show what machines do, and no weaker than what the ring relies on.
func TestScheduleLitmus(t *testing.T) {
	type words = []mem.Word64
	read := func(w words) uint64 { return w[1].Load()<<1 | w[0].Load() }
	for _, tt := range []struct {
		name          string
		first, second func(w words) uint64
		result        [2]uint64
		want          bool
	}{
		{
			"a load overtakes a release store",
			func(w words) uint64 { mem.StoreRelease64(&w[0], 1); return w[1].Load() },
			func(w words) uint64 { mem.StoreRelease64(&w[1], 1); return w[0].Load() },
			[2]uint64{0, 0},
			true,
		},
		{
			"no load overtakes a store",
			func(w words) uint64 { w[0].Store(1); return w[1].Load() },
			func(w words) uint64 { w[1].Store(1); return w[0].Load() },
			[2]uint64{0, 0},
			false,
		},
		{
			"an addition empties the buffer",
			func(w words) uint64 { mem.StoreRelease64(&w[0], 1); w[1].Add(0); return w[1].Load() },
			func(w words) uint64 { mem.StoreRelease64(&w[1], 1); w[0].Add(0); return w[0].Load() },
			[2]uint64{0, 0},
			false,
		},
		{
			"own stores are seen at once",
			func(w words) uint64 { mem.StoreRelease64(&w[0], 1); return w[0].Load() },
			func(w words) uint64 { return w[0].Load() },
			[2]uint64{0, 1},
			false,
		},
		{
			"release stores keep their order",
			func(w words) uint64 { mem.StoreRelease64(&w[0], 1); mem.StoreRelease64(&w[1], 1); return 0 },
			read,
			[2]uint64{0, 2},
			false,
		},
		{
			"a release store comes behind plain ones",
			func(w words) uint64 { mem.StorePlain64(&w[0], 1); mem.StoreRelease64(&w[1], 1); return 0 },
			read,
			[2]uint64{0, 2},
			false,
		},
		{
			"plain stores come in any order",
			func(w words) uint64 { mem.StorePlain64(&w[0], 1); mem.StorePlain64(&w[1], 1); return 0 },
			read,
			[2]uint64{0, 2},
			true,
		},
		{
			"plain stores to one word keep their order",
			func(w words) uint64 { mem.StorePlain64(&w[0], 1); mem.StorePlain64(&w[0], 2); return 0 },
			func(w words) uint64 { return w[0].Load()<<4 | w[0].Load() },
			[2]uint64{0, 0x21},
			false,
		},
		{
			"additions do not get lost",
			func(w words) uint64 { w[0].Add(1); return w[0].Load() },
			func(w words) uint64 { w[0].Add(1); return w[0].Load() },
			[2]uint64{1, 1},
			false,
		},
		{
			"one comparison wins",
			func(w words) uint64 { return uint64(oneIf(w[0].CompareAndSwap(0, 5))) },
			func(w words) uint64 { return uint64(oneIf(w[0].CompareAndSwap(0, 6))) },
			[2]uint64{1, 1},
			false,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			seen := litmus(t, tt.first, tt.second)
			assert.Equal(t, tt.want, seen[tt.result], "%v among %v", tt.result, seen)
			assert.Greater(t, len(seen), 1)
		})
	}
}

func oneIf(yes bool) int {
	if yes {
		return 1
	}
	return 0
}
