package ring_test

import (
	"fmt"
	"testing"

	"github.com/shmwire/shmwire/internal/shmtest"
	"github.com/shmwire/shmwire/ring"
	"github.com/stretchr/testify/require"
)

// Every slot size, in the smallest ring and a larger one, over every edge of the positions: all lengths around the
// multiples of a slot, and the longest.
func TestEverySlotSizeAtEveryEdge(t *testing.T) {
	for slotBytes := ring.MinSlotBytes; slotBytes <= ring.MaxSlotBytes; slotBytes *= 2 {
		for _, slots := range []int{ring.MinSlots, 4, 32} {
			geo := ring.Geometry{Slots: slots, SlotBytes: slotBytes}
			for _, start := range starts(geo) {
				t.Run(fmt.Sprintf("slots=%d/bytes=%d/start=%#x", slots, slotBytes, start), func(t *testing.T) {
					goesRound(t, newRig(t, geo, startAt(start)))
				})
			}
		}
	}
}

// goesRound sends messages of all interesting lengths until the ring has gone round a few times, with one or two waiting.
func goesRound(t *testing.T, r *rig) {
	t.Helper()
	rng := shmtest.Rand(t)
	var waiting [][]byte
	take := func() {
		mustReceive(t, r.c, waiting[0])
		waiting = waiting[1:]
	}
	lengths := []int{0, 1, r.geo.MaxRecord() - 1, r.geo.MaxRecord()}
	for n := r.geo.SlotBytes; n < r.geo.MaxRecord(); n += r.geo.SlotBytes {
		lengths = append(lengths, n-1, n, n+1)
	}
	for from := r.p.Position(); r.p.Position()-from < 4*uint64(r.geo.Slots); {
		msg := message(rng.Uint32(), lengths[rng.IntN(len(lengths))])
		for {
			ok, err := r.p.TrySend(msg)
			require.NoError(t, err)
			if ok {
				break
			}
			require.NotEmpty(t, waiting, "no space for %d bytes in an empty ring", len(msg))
			take()
		}
		if waiting = append(waiting, msg); len(waiting) > 2 {
			take()
		}
	}
	for len(waiting) > 0 {
		take()
	}
	mustFindNothing(t, r.c)
	require.Equal(t, r.p.Position(), r.c.Position())
}
