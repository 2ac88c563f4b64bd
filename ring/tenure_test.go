package ring_test

import (
	"context"
	"os"
	"testing"

	"github.com/shmwire/shmwire/ring"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// panicOf returns what f panicked with.
func panicOf(t *testing.T, f func()) (value any) {
	t.Helper()
	defer func() { value = recover() }()
	f()
	t.Error("no panic")
	return nil
}

func TestTwoProducersOnOneRegionPanic(t *testing.T) {
	ctx := context.Background()
	for name, slowPath := range map[string]func(p *ring.Producer){
		"space reload": func(p *ring.Producer) {
			for ok := true; ok; {
				ok, _ = p.TrySend(nil)
			}
		},
		"wait": func(p *ring.Producer) { _, _ = p.SendBatch(ctx, make([][]byte, 100)) },
		"claim": func(p *ring.Producer) {
			for range 2 {
				c, _, _ := p.TryClaim(128)
				c.Commit()
			}
		},
		"close": (*ring.Producer).Close,
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, ring.Geometry{Slots: 16, SlotBytes: 16})
			mustSend(t, r.p, []byte("one"))
			old := r.p
			r.restartProducer(t)
			msg := panicOf(t, func() { slowPath(old) })
			assert.Contains(t, msg, "two producers on an SPSC ring: number 1, at position ")
			assert.Contains(t, msg, "was replaced by number 2")
			old.Close() // as deferred calls do
			_, err := old.TrySend(nil)
			require.ErrorIs(t, err, os.ErrClosed)
			require.Zero(t, r.word(r.prod, ring.ProducerClosedOffset).Load(), "the successor was closed")
			r.p.Close()
		})
	}
}

func TestTwoConsumersOnOneRegionPanic(t *testing.T) {
	for name, slowPath := range map[string]func(r *rig, c *ring.Consumer){
		"lap end": func(r *rig, c *ring.Consumer) {
			for range 40 {
				_, _ = r.p.TrySend(nil)
				_, _, _ = c.TryReceive(nil)
			}
		},
		"sleep": func(_ *rig, c *ring.Consumer) { _, _ = c.Receive(context.Background(), nil) },
		"close": func(_ *rig, c *ring.Consumer) { c.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, ring.Geometry{Slots: 16, SlotBytes: 16})
			old := r.c
			r.restartConsumer(t)
			msg := panicOf(t, func() { slowPath(r, old) })
			assert.Contains(t, msg, "two consumers on a ring: number 1, at position ")
			assert.Contains(t, msg, "was replaced by number 2")
			old.Close()
			_, _, err := old.TryReceive(nil)
			require.ErrorIs(t, err, os.ErrClosed)
			require.Zero(t, r.word(r.cons, ring.ConsumerClosedOffset).Load(), "the successor was closed")
			r.c.Close()
		})
	}
}

// Handles that follow one another, each after the last is gone, are what Resume is for.
func TestSuccessorsAreNoMisuse(t *testing.T) {
	r := newRig(t, ring.Geometry{Slots: 4, SlotBytes: 16})
	for i := range 50 {
		r.restartProducer(t)
		r.restartConsumer(t)
		takesOnly(t, r, nil)
		if i%2 == 0 {
			r.p.Close()
			r.c.Close()
		}
	}
}
