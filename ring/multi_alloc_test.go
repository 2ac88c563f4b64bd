package ring_test

import (
	"testing"

	"github.com/shmwire/shmwire/internal/shmtest"
	"github.com/shmwire/shmwire/ring"
	"github.com/stretchr/testify/assert"
)

func TestMultiNothingAllocatesPerMessage(t *testing.T) {
	shmtest.Watchdog(t, watch)
	ctx := t.Context()
	for _, mode := range waitModes {
		t.Run(mode.name, func(t *testing.T) {
			r := newCrowd(t, ring.Geometry{Slots: 8, SlotBytes: 16}, mode.tweak)
			p, q := r.join(), r.join()
			msg, batch := message(1, 40), [][]byte{message(1, 1), message(2, 33), nil}
			buf := make([]byte, 0, 64)
			take := func() {
				var err error
				if buf, err = r.c.Receive(ctx, buf); err != nil {
					t.Error(err)
				}
			}
			allocs(t, "TrySend and TryReceive", func() {
				_, err := p.TrySend(msg)
				fail(t, err)
				_, err = q.TrySend(msg[:3])
				fail(t, err)
				buf, _, err = r.c.TryReceive(buf)
				fail(t, err)
				buf, _, err = r.c.TryReceive(buf)
				fail(t, err)
			})
			allocs(t, "Send and Receive", func() { fail(t, p.Send(ctx, msg)); take() })
			allocs(t, "SendBatch", func() {
				_, err := q.SendBatch(ctx, batch)
				fail(t, err)
				take()
				take()
				take()
			})
			allocs(t, "Claim and Next", func() {
				c, err := p.Claim(ctx, 50)
				fail(t, err)
				c.Bytes()[0]++
				c.Commit()
				v, err := r.c.Next(ctx)
				fail(t, err)
				v.Bytes()
				v.Release()
			})
			allocs(t, "Try calls that fail, and a stall", func() {
				c, _, err := q.TryClaim(3)
				fail(t, err)
				for range looks {
					_, _, err := r.c.TryReceive(buf)
					fail(t, err)
				}
				if s, ok := r.c.Stalled(); !ok || s.Owner != q.Owner() {
					t.Errorf("%+v", s)
				}
				c.Abort()
				_, _, err = r.c.TryReceive(buf)
				fail(t, err)
			})
			p.Close()
			q.Close()
			r.c.Close()
		})
	}
}

// Stepping over the dead allocates nothing either: it may happen where memory is short.
func TestMultiRecoveryDoesNotAllocate(t *testing.T) {
	r := newCrowd(t, ring.Geometry{Slots: 8, SlotBytes: 16})
	r.join()
	d := r.join()
	r.kill(d)
	before := r.c.Stats().Recovered
	word := r.word(r.prod, ring.ProducerClaimOffset)
	at := r.c.Position()
	allocs(t, "recovery", func() {
		word.Store(claimWord(at, 1, d.Owner()))
		at++
		for range looks {
			_, ok, err := r.c.TryReceive(nil)
			fail(t, err)
			if ok {
				t.Error("a record")
			}
		}
	})
	assert.Equal(t, at, r.c.Position())
	assert.Equal(t, before+at, r.c.Stats().Recovered)
}
