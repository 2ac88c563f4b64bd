package ring_test

import (
	"context"
	"testing"
	"time"

	"github.com/shmwire/shmwire/internal/shmtest"
	"github.com/shmwire/shmwire/ring"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestNothingAllocatesPerMessage(t *testing.T) {
	ctx := t.Context()
	for _, mode := range waitModes {
		t.Run(mode.name, func(t *testing.T) {
			r := newRig(t, ring.Geometry{Slots: 8, SlotBytes: 16}, mode.tweak)
			msg, batch := message(1, 40), [][]byte{message(1, 1), message(2, 33), nil}
			buf := make([]byte, 0, 64)
			take := func() {
				var err error
				if buf, err = r.c.Receive(ctx, buf); err != nil {
					t.Error(err)
				}
			}
			allocs(t, "Send and Receive", func() { fail(t, r.p.Send(ctx, msg)); take() })
			allocs(t, "SendBatch", func() {
				_, err := r.p.SendBatch(ctx, batch)
				fail(t, err)
				take()
				take()
				take()
			})
			allocs(t, "Claim and Next", func() {
				c, err := r.p.Claim(ctx, 50)
				fail(t, err)
				c.Bytes()[0]++
				c.Commit()
				v, err := r.c.Next(ctx)
				fail(t, err)
				v.Bytes()
				v.Release()
			})
			allocs(t, "Drain and Read", func() {
				_, err := r.p.SendBatch(ctx, batch)
				fail(t, err)
				sum := 0
				_, err = r.c.Drain(ctx, 2, func(msg []byte) error { sum += len(msg); return nil })
				fail(t, err)
				_, err = r.c.Read(ctx, 2, func(msg []byte) ring.Action { sum += len(msg); return ring.Commit })
				fail(t, err)
			})
			allocs(t, "Try calls that fail", func() {
				_, _, err := r.c.TryReceive(buf)
				fail(t, err)
				c, _, err := r.p.TryClaim(3)
				fail(t, err)
				c.Abort()
			})
			r.p.Close()
			r.c.Close()
		})
	}
}

// A sleep under a context that ends registers with it once, not once per sleep.
func TestSleepingAgainUnderOneContextDoesNotAllocate(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var r *rig
	w := &countingWaiter{interrupts: make(chan struct{}, 1)}
	w.onWait = func() { _, err := r.p.TrySend(nil); fail(t, err) }
	r = newRig(t, ring.Geometry{Slots: 8, SlotBytes: 16}, func(_, c *ring.Config) { c.Waiter = w })
	allocs(t, "Receive that sleeps", func() { _, err := r.c.Receive(ctx, nil); fail(t, err) })
	require.NotZero(t, w.waits)
	r.c.Close()
	cancel()
	shmtest.StillBlocked(t, w.interrupts, "interrupt by a context that Close let go of")
}

// countingWaiter has something happen in every sleep.
type countingWaiter struct {
	waits      int
	interrupts chan struct{}
	onWait     func()
}

func (w *countingWaiter) Load() uint32 { return 0 }
func (w *countingWaiter) Interrupt()   { post(w.interrupts) }
func (w *countingWaiter) Wait(uint32, time.Duration) error {
	w.waits++
	w.onWait()
	return nil
}

func allocs(t *testing.T, what string, f func()) {
	t.Helper()
	assert.Zero(t, testing.AllocsPerRun(100, f), what)
}

func fail(t *testing.T, err error) {
	if err != nil {
		t.Error(err)
	}
}
