package ring_test

import (
	"bytes"
	"context"
	"testing"

	"github.com/shmwire/shmwire/ring"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func requireGeometryError(t *testing.T, geo ring.Geometry, want string) {
	t.Helper()
	for _, err := range []error{geo.Validate(), func() error {
		_, err := ring.NewProducer(nil, nil, ring.Config{Geometry: geo, PeerNeverParks: true})
		return err
	}()} {
		var ge *ring.GeometryError
		require.ErrorAs(t, err, &ge)
		assert.Equal(t, "Slots", ge.Field)
		assert.Contains(t, err.Error(), want)
	}
}

func TestShouldThrowExceptionIfCapacityIsBelowMinCapacity(t *testing.T) {
	for _, slots := range []int{-2, 0, 1} {
		requireGeometryError(t, ring.Geometry{Slots: slots, SlotBytes: 64}, "want a power of two from 2 to 2^37")
	}
}

func TestShouldThrowExceptionForCapacityThatIsNotPowerOfTwo(t *testing.T) {
	for _, slots := range []int{3, 5, 6, 7, 9, 777} {
		requireGeometryError(t, ring.Geometry{Slots: slots, SlotBytes: 64}, "want a power of two from 2 to 2^37")
	}
}

// Aeron's name for the second is shouldGetSize: what is used is what lies between the two positions.
func TestShouldCalculateCapacityForBuffer(t *testing.T) {
	for _, geo := range geometries {
		assert.Equal(t, geo.SlotsOffset()+max(128, geo.Slots*geo.SlotBytes), geo.ProducerBytes())
	}
}

func TestShouldGetSize(t *testing.T) {
	everywhere(t, 4, func(t *testing.T, r *rig) {
		assert.Zero(t, mustInspect(t, r).Slots)
		mustSend(t, r.p, nil)
		mustSend(t, r.p, []byte("x"))
		assert.EqualValues(t, 2, mustInspect(t, r).Slots)
		mustReceive(t, r.c, nil)
		mustReceive(t, r.c, []byte("x"))
		assert.Zero(t, mustInspect(t, r).Slots)
	})
}

func TestShouldComputeMaxMessageLength(t *testing.T) {
	everywhere(t, 2, func(t *testing.T, r *rig) {
		assert.Equal(t, r.geo.Slots/2*r.geo.SlotBytes, r.p.MaxRecord())
		mustSend(t, r.p, make([]byte, r.p.MaxRecord()))
	})
}

// reach brings an empty ring to a position with the given index.
func reach(t *testing.T, r *rig, index int) {
	t.Helper()
	for r.p.Position()%uint64(r.geo.Slots) != uint64(index) {
		mustSend(t, r.p, nil)
		mustReceive(t, r.c, nil)
	}
}

// Head and tail are Agrona's names for the consumer's and the producer's position.
func TestShouldInsertPaddingRecordPlusMessageOnBufferWrapWithHeadEqualToTail(t *testing.T) {
	everywhere(t, 4, func(t *testing.T, r *rig) {
		reach(t, r, r.geo.Slots-1)
		require.Equal(t, r.p.Position(), r.published())
		at, big := r.p.Position(), message(7, 2*r.geo.SlotBytes)
		mustSend(t, r.p, big)
		assert.Equal(t, desc(r.geo, at, 1, 3), r.descriptor(at).Load(), "the SKIP")
		assert.Equal(t, committed(r.geo, at+1, uint64(len(big))), r.descriptor(at+1).Load())
		assert.Equal(t, at+3, r.p.Position())
		mustReceive(t, r.c, big)
	})
}

func TestShouldInsertPaddingAndWriteToBuffer(t *testing.T) {
	everywhere(t, 8, func(t *testing.T, r *rig) {
		reach(t, r, r.geo.Slots-2)
		mustSend(t, r.p, []byte("stays")) // so that the ring is not empty
		big := message(9, 2*r.geo.SlotBytes)
		mustSend(t, r.p, big)
		assert.Equal(t, uint64(1), r.p.Stats().Skips)
		mustReceive(t, r.c, []byte("stays"))
		mustReceive(t, r.c, big)
		mustFindNothing(t, r.c)
	})
}

func TestShouldPutMessageAtTheEndOfTheBufferWithoutPadding(t *testing.T) {
	everywhere(t, 4, func(t *testing.T, r *rig) {
		reach(t, r, r.geo.Slots-2)
		for range 3 {
			last := message(3, 2*r.geo.SlotBytes) // exactly what is left
			mustSend(t, r.p, last)
			assert.Zero(t, r.p.Position()%uint64(r.geo.Slots))
			mustReceive(t, r.c, last)
			reach(t, r, r.geo.Slots-2)
		}
		assert.Zero(t, r.p.Stats().Skips)
	})
}

// fillTo leaves only free slots: so many at the end of the ring and so many at its start.
func fillTo(t *testing.T, r *rig, end, start int) (waiting int) {
	t.Helper()
	reach(t, r, start)
	for r.p.Position()%uint64(r.geo.Slots) != uint64(r.geo.Slots-end) {
		mustSend(t, r.p, []byte("unread"))
		waiting++
	}
	return waiting
}

func TestTryClaimShouldReturnFullWhenNoSpaceAtEndOrStartOfBuffer(t *testing.T) {
	everywhere(t, 8, func(t *testing.T, r *rig) {
		waiting := fillTo(t, r, 1, 1)
		_, ok, err := r.p.TryClaim(2 * r.geo.SlotBytes) // two slots are free, but not in a row
		require.NoError(t, err)
		assert.False(t, ok)
		for range waiting {
			mustReceive(t, r.c, []byte("unread"))
		}
		mustFindNothing(t, r.c)
		c, ok, err := r.p.TryClaim(2 * r.geo.SlotBytes)
		require.NoError(t, err)
		require.True(t, ok)
		c.Commit()
	})
}

func TestWriteMustNotOverwriteUnreadMessageWhenNoSpaceAtEndOrStartOfBuffer(t *testing.T) {
	everywhere(t, 8, func(t *testing.T, r *rig) {
		waiting := fillTo(t, r, 1, 1)
		before := bytes.Clone(r.prod[r.geo.DescriptorsOffset():])
		ok, err := r.p.TrySend(message(1, 2*r.geo.SlotBytes))
		require.NoError(t, err)
		assert.False(t, ok)
		assert.True(t, bytes.Equal(before, r.prod[r.geo.DescriptorsOffset():]))
		for range waiting {
			mustReceive(t, r.c, []byte("unread"))
		}
		mustFindNothing(t, r.c)
	})
}

// The Disruptor asks it of claiming many at once.
func TestShouldNotAllowBulkOfZeroOrLess(t *testing.T) {
	r := newRig(t, ring.Geometry{Slots: 8, SlotBytes: 16})
	for _, limit := range []int{0, -1} {
		assert.Contains(t, panicOf(t, func() { _, _ = r.c.TryDrain(limit, nil) }), "want at least 1")
		assert.Contains(t, panicOf(t, func() { _, _ = r.c.Drain(context.Background(), limit, nil) }), "want at least 1")
		assert.Contains(t, panicOf(t, func() { _, _ = r.c.Read(context.Background(), limit, nil) }), "want at least 1")
	}
}
