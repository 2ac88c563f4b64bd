package ring_test

import (
	"bytes"
	"context"
	"testing"

	"github.com/shmwire/shmwire/internal/shmtest"
	"github.com/shmwire/shmwire/ring"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func batchOf(n, first, longest int) [][]byte {
	msgs := make([][]byte, n)
	for i := range msgs {
		msgs[i] = message(uint32(first+i), (first+i*7)%(longest+1))
	}
	return msgs
}

func TestBatchThatFitsArrivesInOrder(t *testing.T) {
	bothKinds(t, 8, func(t *testing.T, r *rig) {
		for round := range 4 * r.geo.Slots {
			// At most 3 slots, and a padding of at most one: always half a ring.
			msgs := [][]byte{message(1, round%r.geo.SlotBytes), nil, message(2, 3)}
			n, err := r.p.SendBatch(context.Background(), msgs)
			require.NoError(t, err)
			require.Equal(t, len(msgs), n)
			for _, want := range msgs {
				mustReceive(t, r.c, want)
			}
			mustFindNothing(t, r.c)
		}
	})
}

func TestEmptyBatch(t *testing.T) {
	r := newRig(t, ring.Geometry{Slots: 2, SlotBytes: 16})
	n, err := r.p.SendBatch(context.Background(), nil)
	require.NoError(t, err)
	assert.Zero(t, n)
	mustFindNothing(t, r.c)
}

func TestBatchOverTheEndHasOnePaddingAsInnerDescriptor(t *testing.T) {
	r := newRig(t, ring.Geometry{Slots: 8, SlotBytes: 16})
	for range 5 {
		mustSend(t, r.p, nil)
		mustReceive(t, r.c, nil)
	}
	msgs := [][]byte{message(1, 20), message(2, 48), message(3, 1)} // 5, 6; padding 7; 8, 9, 10; 11
	n, err := r.p.SendBatch(context.Background(), msgs)
	require.NoError(t, err)
	require.Equal(t, 3, n)
	assert.Equal(t, desc(r.geo, 7, 1, 3), r.descriptor(7).Load())
	assert.Equal(t, committed(r.geo, 8, 48), r.descriptor(8).Load())
	assert.Equal(t, uint64(1), r.p.Stats().Skips)
	for _, want := range msgs {
		mustReceive(t, r.c, want)
	}
}

func TestBatchWhoseFirstDescriptorIsAPadding(t *testing.T) {
	bothKinds(t, 4, func(t *testing.T, r *rig) {
		for r.p.Position()%uint64(r.geo.Slots) != uint64(r.geo.Slots-1) {
			mustSend(t, r.p, nil)
			mustReceive(t, r.c, nil)
		}
		msgs := [][]byte{message(1, r.p.MaxRecord()), message(2, 1)}
		n, err := r.p.SendBatch(context.Background(), msgs)
		require.NoError(t, err)
		require.Equal(t, 2, n)
		mustReceive(t, r.c, msgs[0])
		mustReceive(t, r.c, msgs[1])
	})
}

// What is in hand is visible to the consumer whenever the producer asks whether to stop, that is, before it waits.
func TestBatchLongerThanTheRingGoesOnInParts(t *testing.T) {
	for _, mode := range []struct {
		name  string
		tweak tweak
	}{{"parked", func(p, c *ring.Config) {}}, {"spinning", spinning}} {
		t.Run(mode.name, func(t *testing.T) {
			for i := range 2 * len(geometries) {
				geo := geometries[i/2]
				geo.MPSC = i%2 == 1
				longest := geo.MaxRecord()
				msgs := batchOf(5*geo.Slots, 1, longest)
				var r *rig
				var got [][]byte
				drain := func() error {
					for {
						msg, ok, err := r.c.TryReceive(nil)
						if !ok || err != nil {
							return err
						}
						got = append(got, msg)
					}
				}
				r = newRig(t, geo, mode.tweak, func(p, _ *ring.Config) { p.Stopped = drain })
				shmtest.Watchdog(t, watch)
				n, err := r.p.SendBatch(context.Background(), msgs)
				require.NoError(t, err)
				require.Equal(t, len(msgs), n)
				require.NoError(t, drain())
				require.Len(t, got, len(msgs))
				for i := range msgs {
					require.True(t, bytes.Equal(msgs[i], got[i]), "message %d of %+v", i, geo)
				}
			}
		})
	}
}

func TestBatchEndedWhileWaitingSaysHowMany(t *testing.T) {
	bothKinds(t, 4, func(t *testing.T, r *rig) {
		ctx, cancel := context.WithCancel(context.Background())
		msgs := make([][]byte, 2*r.geo.Slots)
		done := make(chan int, 1)
		go func() {
			n, err := r.p.SendBatch(ctx, msgs)
			assert.ErrorIs(t, err, context.Canceled)
			done <- n
		}()
		shmtest.Eventually(t, "the producer sleeps", func() bool { return r.space.waits.Load() > 0 })
		cancel()
		n := shmtest.Soon(t, done, "end of SendBatch")
		assert.GreaterOrEqual(t, n, r.geo.Slots-1)
		for range n {
			mustReceive(t, r.c, nil)
		}
		mustFindNothing(t, r.c)
		mustSend(t, r.p, []byte("goes on"))
		mustReceive(t, r.c, []byte("goes on"))
	})
}

func TestBatchRingsOnceForASleeper(t *testing.T) {
	r := newRig(t, ring.Geometry{Slots: 64, SlotBytes: 16})
	mustSend(t, r.p, nil) // the first flush after attaching rings again
	mustReceive(t, r.c, nil)
	before := r.data.rings.Load()
	_, err := r.p.SendBatch(context.Background(), make([][]byte, 20))
	require.NoError(t, err)
	assert.Equal(t, before, r.data.rings.Load(), "nobody sleeps")
	r.word(r.cons, ring.ConsumerParksOffset).Add(1)
	_, err = r.p.SendBatch(context.Background(), make([][]byte, 20))
	require.NoError(t, err)
	assert.Equal(t, before+1, r.data.rings.Load())
}
