package ring_test

import (
	"bytes"
	"testing"

	"github.com/shmwire/shmwire/internal/shmtest"
	"github.com/shmwire/shmwire/ring"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func mustPeek(t testing.TB, r *rig, messages, bytes int) []ring.Waiting {
	t.Helper()
	w, err := ring.Peek(r.prod, r.cons, r.geo, messages, bytes)
	require.NoError(t, err)
	return w
}

func TestPeekSeesWhatAConsumerWouldGet(t *testing.T) {
	everywhere(t, 4, func(t *testing.T, r *rig) {
		rng := shmtest.Rand(t)
		h := &history{rig: r}
		for range 60 {
			h.sendSome(t, rng)
			h.takeSome(t, rng)
			prod, cons := bytes.Clone(r.prod), bytes.Clone(r.cons)
			want := h.waiting()
			got := mustPeek(t, r, r.geo.Slots, r.geo.MaxRecord())
			require.Len(t, got, len(want))
			for i, w := range got {
				require.Equal(t, len(want[i]), w.Length)
				require.True(t, bytes.Equal(want[i], w.Message), "message %d", i)
				require.Equal(t, h.ends[len(h.ends)-len(want)+i]-r.slots(w.Length), w.Position)
			}
			require.True(t, bytes.Equal(prod, r.prod), "the producer region was written")
			require.True(t, bytes.Equal(cons, r.cons), "the consumer region was written")
		}
	})
}

func TestPeekIsBounded(t *testing.T) {
	r := newRig(t, ring.Geometry{Slots: 8, SlotBytes: 16})
	for range 3 {
		mustSend(t, r.p, []byte("0123456789"))
	}
	for _, tt := range []struct{ messages, bytes, wantMessages, wantBytes int }{
		{2, 4, 2, 4}, {1, 0, 1, 0}, {3, -5, 3, 0}, {4, 100, 3, 10}, {0, 4, 0, 0}, {-1, 4, 0, 0},
	} {
		got := mustPeek(t, r, tt.messages, tt.bytes)
		require.Len(t, got, tt.wantMessages, "%+v", tt)
		for i, w := range got {
			assert.Equal(t, ring.Waiting{Position: uint64(i), Length: 10, Message: []byte("0123456789")[:tt.wantBytes]}, w)
		}
	}
}

// The copies are the caller's.
func TestPeekCopies(t *testing.T) {
	r := newRig(t, ring.Geometry{Slots: 8, SlotBytes: 16})
	mustSend(t, r.p, []byte("kept"))
	w := mustPeek(t, r, 1, 10)
	clear(w[0].Message)
	mustReceive(t, r.c, []byte("kept"))
}

func TestPeekEndsAtWhatIsImpossible(t *testing.T) {
	for name, spoil := range map[string]func(r *rig){
		"record too long": func(r *rig) { r.descriptor(1).Store(desc(r.geo, 1, 65, 2)) },
		"skip":            func(r *rig) { r.descriptor(1).Store(desc(r.geo, 1, 2, 3)) },
		"busy":            func(r *rig) { r.descriptor(1).Store(desc(r.geo, 1, 1, 1)) },
		"not committed":   func(r *rig) { r.descriptor(2).Store(committed(r.geo, 2, 1)) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, ring.Geometry{Slots: 8, SlotBytes: 16})
			mustSend(t, r.p, []byte("x"))
			spoil(r)
			assert.Len(t, mustPeek(t, r, 9, 9), 1)
		})
	}
}

func TestPeekRefusesRegionsThatDoNotFit(t *testing.T) {
	geo := ring.Geometry{Slots: 8, SlotBytes: 16}
	prod, cons := ring.HeapRegion(geo.ProducerBytes()), ring.HeapRegion(geo.ConsumerBytes())
	for _, regions := range [][2][]byte{{prod, nil}, {nil, cons}, {prod[:len(prod)-1], cons}, {prod, cons[:len(cons)-1]}} {
		_, err := ring.Peek(regions[0], regions[1], geo, 1, 1)
		assert.ErrorContains(t, err, "region")
	}
	_, err := ring.Peek(prod, cons, ring.Geometry{Slots: 3, SlotBytes: 16}, 1, 1)
	var ge *ring.GeometryError
	assert.ErrorAs(t, err, &ge)
	got, err := ring.Peek(prod, cons, geo, 1, 1)
	require.NoError(t, err)
	assert.Empty(t, got, "nobody has made a handle yet")
}
