//go:build !race

// The race detector allocates for itself.

package sem_test

import (
	"testing"
	"time"

	"github.com/shmwire/shmwire/sem"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestWaitAndRingAllocateNothing(t *testing.T) {
	forEachKind(t, func(t *testing.T, _ kind, bell sem.Doorbell, w sem.Waiter) {
		var failed error
		wait := func(v uint32, timeout time.Duration) {
			if err := w.Wait(v, timeout); err != nil {
				failed = err
			}
		}
		assert.Zero(t, testing.AllocsPerRun(200, func() {
			v := w.Load()
			bell.Ring()
			wait(v, -1)
			v = w.Load()
			bell.Ring()
			wait(v, time.Hour)
		}), "rings")
		assert.Zero(t, testing.AllocsPerRun(200, func() { wait(w.Load(), 10*time.Microsecond) }), "time-outs")
		assert.Zero(t, testing.AllocsPerRun(200, func() {
			v := w.Load()
			w.Interrupt()
			wait(v, -1)
		}), "interrupts")
		require.NoError(t, failed)
	})
}

func TestSpinsAllocateNothing(t *testing.T) {
	a := sem.NewAdaptive()
	assert.Zero(t, testing.AllocsPerRun(200, func() { a.Spin(always) }))
	assert.Zero(t, testing.AllocsPerRun(200, func() { sem.SpinForever(always) }))
}
