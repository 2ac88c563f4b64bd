package ring_test

import (
	"context"
	"errors"
	"io"
	"math"
	"os"
	"testing"

	"github.com/shmwire/shmwire/internal/shmtest"
	"github.com/shmwire/shmwire/ring"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func requireEOF(t *testing.T, c *ring.Consumer) {
	t.Helper()
	for range 2 {
		_, ok, err := c.TryReceive(nil)
		require.Equal(t, io.EOF, err)
		require.False(t, ok)
		_, err = c.Next(context.Background())
		require.Equal(t, io.EOF, err)
	}
}

func TestCloseIsSeenAfterTheLastRecord(t *testing.T) {
	everywhere(t, 2, func(t *testing.T, r *rig) {
		n := fill(t, r.p)
		pos := r.p.Position()
		r.p.Close()
		want := pos + 1
		if pos == math.MaxUint64 {
			want = 1 // a padding led to position 0
		}
		assert.Equal(t, want, r.word(r.prod, ring.ProducerClosedOffset).Load())
		for i := range n {
			mustReceive(t, r.c, []byte{byte(i)})
		}
		requireEOF(t, r.c)
		require.NoError(t, r.c.Err())
		r.c.Close()
		_, _, err := r.c.TryReceive(nil)
		assert.ErrorIs(t, err, os.ErrClosed)
	})
}

func TestCloseAtEveryPositionNearTheTop(t *testing.T) {
	for _, geo := range geometries {
		for back := range 6 {
			for sent := range min(geo.Slots, 5) + 1 {
				r := newRig(t, geo, startAt(math.MaxUint64-uint64(back)))
				n := 0
				for ; n < sent; n++ {
					if ok, err := r.p.TrySend(nil); !ok {
						require.NoError(t, err)
						break
					}
				}
				r.p.Close()
				require.NotZero(t, r.word(r.prod, ring.ProducerClosedOffset).Load())
				for range n {
					mustReceive(t, r.c, nil)
				}
				requireEOF(t, r.c)
			}
		}
	}
}

func TestNothingComesAfterTheEnd(t *testing.T) {
	r := newRig(t, ring.Geometry{Slots: 8, SlotBytes: 16})
	r.p.Close()
	requireEOF(t, r.c)
	r.descriptor(0).Store(committed(r.geo, 0, 3))
	r.word(r.prod, ring.ProducerClosedOffset).Store(0)
	requireEOF(t, r.c)
}

func TestCloseRingsUnconditionallyAndOnce(t *testing.T) {
	r := newRig(t, ring.Geometry{Slots: 8, SlotBytes: 16})
	data, space := r.data.rings.Load(), r.space.rings.Load()
	for range 3 {
		r.p.Close()
		r.c.Close()
	}
	assert.Equal(t, data+1, r.data.rings.Load())
	assert.Equal(t, space+1, r.space.rings.Load())
}

func TestCallsAfterOwnClose(t *testing.T) {
	ctx := context.Background()
	r := newRig(t, ring.Geometry{Slots: 8, SlotBytes: 16})
	r.p.Close()
	r.c.Close()
	_, err := r.p.TrySend(nil)
	assert.ErrorIs(t, err, os.ErrClosed)
	assert.ErrorIs(t, r.p.Send(ctx, nil), os.ErrClosed)
	_, err = r.p.SendBatch(ctx, [][]byte{nil})
	assert.ErrorIs(t, err, os.ErrClosed)
	_, err = r.p.Claim(ctx, 1)
	assert.ErrorIs(t, err, os.ErrClosed)
	_, err = r.c.Next(ctx)
	assert.ErrorIs(t, err, os.ErrClosed)
	_, err = r.c.Receive(ctx, nil)
	assert.ErrorIs(t, err, os.ErrClosed)
	assert.NoError(t, r.p.Err())
	assert.NoError(t, r.c.Err())
}

func TestCloseEndsAnOpenClaimAndView(t *testing.T) {
	r := newRig(t, ring.Geometry{Slots: 8, SlotBytes: 16})
	mustSend(t, r.p, []byte("seen"))
	v, _, err := r.c.TryNext()
	require.NoError(t, err)
	c, _, err := r.p.TryClaim(4)
	require.NoError(t, err)
	copy(c.Bytes(), "lost")
	r.p.Close()
	c.Commit() // nothing, and no panic: who closes from elsewhere cannot know
	assert.Panics(t, c.Commit)
	assert.Equal(t, uint64(1), r.p.Stats().Records)
	pos := r.c.Position()
	r.c.Close()
	assert.Equal(t, "seen", string(v.Bytes()))
	v.Release()
	assert.Panics(t, v.Release)
	assert.Equal(t, pos, r.c.Position())
}

func TestClosedConsumerEndsSendersThatNeedSpace(t *testing.T) {
	bothKinds(t, 4, func(t *testing.T, r *rig) {
		n := fill(t, r.p)
		r.c.Close()
		_, err := r.p.TrySend(nil)
		require.ErrorIs(t, err, io.ErrClosedPipe)
		require.ErrorIs(t, r.p.Send(context.Background(), nil), io.ErrClosedPipe)
		_, err = r.p.Claim(context.Background(), 0)
		require.ErrorIs(t, err, io.ErrClosedPipe)
		sent, err := r.p.SendBatch(context.Background(), [][]byte{nil})
		require.ErrorIs(t, err, io.ErrClosedPipe)
		require.Zero(t, sent)
		require.Equal(t, uint64(n), r.p.Stats().Records)
	})
}

func TestClosedConsumerEndsASleepingSender(t *testing.T) {
	r := newRig(t, ring.Geometry{Slots: 4, SlotBytes: 16})
	fill(t, r.p)
	done := make(chan error, 1)
	go func() { done <- r.p.Send(context.Background(), nil) }()
	shmtest.StillBlocked(t, done, "Send on a full ring")
	r.c.Close()
	require.ErrorIs(t, shmtest.Soon(t, done, "Send"), io.ErrClosedPipe)
}

func TestCloseEndsASleepingReceiver(t *testing.T) {
	r := newRig(t, ring.Geometry{Slots: 4, SlotBytes: 16})
	done := make(chan error, 1)
	go func() { _, err := r.c.Receive(context.Background(), nil); done <- err }()
	shmtest.StillBlocked(t, done, "Receive on an empty ring")
	r.p.Close()
	require.Equal(t, io.EOF, shmtest.Soon(t, done, "Receive"))
}

func TestDrainAtMost(t *testing.T) {
	bothKinds(t, 8, func(t *testing.T, r *rig) {
		for i := range 6 {
			mustSend(t, r.p, []byte{byte(i)})
		}
		mustReceive(t, r.c, []byte{0})
		r.c.DrainAtMost(3)
		r.c.DrainAtMost(100) // never raises the bound
		for i := 1; i <= 3; i++ {
			mustReceive(t, r.c, []byte{byte(i)})
		}
		mustFindNothing(t, r.c)
		r.p.Close()
		mustFindNothing(t, r.c) // held back, so neither io.EOF nor ErrCorrupt
		require.NoError(t, r.c.Err())
		r.c.DrainAtMost(0)
		mustFindNothing(t, r.c)
	})
}

func TestDrainReachesTheEndOfAClosedStream(t *testing.T) {
	everywhere(t, 8, func(t *testing.T, r *rig) {
		mustSend(t, r.p, []byte("a"))
		r.p.Close()
		r.c.DrainAtMost(uint64(r.geo.Slots))
		mustReceive(t, r.c, []byte("a"))
		requireEOF(t, r.c)
	})
}

func TestDrainHoldsBackARecordThatOnlyPartlyFits(t *testing.T) {
	r := newRig(t, ring.Geometry{Slots: 8, SlotBytes: 16})
	mustSend(t, r.p, message(0, 33)) // 3 slots
	r.c.DrainAtMost(2)
	mustFindNothing(t, r.c)
	assert.Zero(t, r.c.Position())
}

// An endless hostile stream ends after the bound, however fast it is written.
func TestDrainEndsAnEndlessStream(t *testing.T) {
	gone := errors.New("peer gone")
	var r *rig
	r = newRig(t, ring.Geometry{Slots: 8, SlotBytes: 16}, func(_, c *ring.Config) {
		c.Stopped = func() error { r.c.DrainAtMost(8); return gone }
	})
	received := 0
	for {
		if received > 0 { // the first Receive finds nothing and hears that the peer is gone
			mustSend(t, r.p, nil)
		}
		_, err := r.c.Receive(context.Background(), nil)
		if received++; errors.Is(err, gone) && received > 1 {
			break
		}
		require.Less(t, received, 20)
	}
	assert.Equal(t, uint64(8), r.c.Stats().Records)
}

// hook is a doorbell that has something happen in the middle of a call.
type hook struct{ ring func() }

func (h *hook) Ring() {
	if h.ring != nil {
		h.ring()
	}
}

// A record and the closed word come between the consumer's look and its look at the closed word: the doorbell rings
// there, because stepping over the padding left something to publish.
func TestCloseBetweenTwoLooksLosesNothing(t *testing.T) {
	h := &hook{}
	r := newRig(t, ring.Geometry{Slots: 8, SlotBytes: 16}, startAt(13), func(_, c *ring.Config) { c.Doorbell = h })
	r.descriptor(13).Store(desc(r.geo, 13, 3, 3))
	h.ring = func() {
		r.descriptor(16).Store(committed(r.geo, 16, 4))
		copy(r.prod[ring.ProducerDescriptorsOffset+128:], "last")
		r.word(r.prod, ring.ProducerClosedOffset).Store(17 + 1)
	}
	mustReceive(t, r.c, []byte("last"))
	requireEOF(t, r.c)
}
