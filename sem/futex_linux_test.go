package sem_test

import (
	"os"
	"os/signal"
	"testing"

	"github.com/shmwire/shmwire/internal/mem"
	"github.com/shmwire/shmwire/internal/shmtest"
	"github.com/shmwire/shmwire/internal/sys"
	"github.com/shmwire/shmwire/sem"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Whatever happens to its wake-ups, a futex waiter looks again once a second.
func TestFutexWaitIsBounded(t *testing.T) {
	w, err := sem.NewFutexWaiter(mem.AlignedBytes(64), 0)
	require.NoError(t, err)
	closeAtEnd(t, w)
	require.NoError(t, shmtest.Soon(t, startWait(w, w.Load(), -1), "Wait that nobody ends"))
}

func TestFutexDoorbellWakesOneOrAll(t *testing.T) {
	region := mem.AlignedBytes(64)
	one, err := sem.NewFutexDoorbell(region, 8, false)
	require.NoError(t, err)
	all, err := sem.NewFutexDoorbell(region, 8, true)
	require.NoError(t, err)
	const sleepers = 4
	woken := make(chan int, sleepers)
	for i := range sleepers {
		w, err := sem.NewFutexWaiter(region, 8)
		require.NoError(t, err)
		w.SleepForever()
		closeAtEnd(t, w)
		go func() {
			assert.NoError(t, w.Wait(w.Load(), -1))
			woken <- i
		}()
	}
	shmtest.StillBlocked(t, woken, "four sleepers")
	one.Ring()
	shmtest.Soon(t, woken, "first sleeper")
	shmtest.StillBlocked(t, woken, "three sleepers after a ring for one")
	all.Ring()
	for range sleepers - 1 {
		shmtest.Soon(t, woken, "sleeper")
	}
}

func TestFutexWordOutsideTheRegionPanics(t *testing.T) {
	for _, off := range []int{-4, 2, 64, 1 << 20} {
		assert.Panics(t, func() { _, _ = sem.NewFutexWaiter(mem.AlignedBytes(64), off) }, "waiter at %d", off)
		assert.Panics(t, func() { _, _ = sem.NewFutexDoorbell(mem.AlignedBytes(64), off, false) }, "doorbell at %d", off)
	}
}

// After Close a futex waiter leaves its memory alone, so that it can be unmapped: this would be a fault otherwise.
func TestFutexWaiterLeavesItsMemoryWhenClosed(t *testing.T) {
	f, _ := sealedMemfd(t)
	peer := readOnlyUntil(t, f)
	w, err := sem.NewFutexWaiter(peer.bytes, doorbellAt)
	require.NoError(t, err)
	w.SleepForever()
	done := make(chan error, 1)
	go func() {
		for {
			if err := w.Wait(w.Load(), -1); err != nil {
				done <- err
				return
			}
		}
	}()
	shmtest.StillBlocked(t, done, "Wait without a ring")
	require.NoError(t, w.Close())
	peer.unmap()
	require.ErrorIs(t, shmtest.Soon(t, done, "Wait during Close"), os.ErrClosed)
	assert.Zero(t, w.Load())
	require.ErrorIs(t, w.Wait(0, -1), os.ErrClosed)
	w.Interrupt()
	require.NoError(t, w.Close())
}

// A Wait on memory that is gone is an error for ever, not a loop.
func TestFutexWaitOnUnmappedMemoryFails(t *testing.T) {
	f, _ := sealedMemfd(t)
	peer := readOnlyUntil(t, f)
	w, err := sem.NewFutexWaiter(peer.bytes, doorbellAt)
	require.NoError(t, err)
	v := w.Load()
	peer.unmap()
	var failed *os.SyscallError
	require.ErrorAs(t, w.Wait(v, 0), &failed)
	require.NoError(t, w.Close())
}

// Signals interrupt waits (EINTR) at any moment; no wake-up may get lost by it.
func TestSignalsLoseNoWakeUp(t *testing.T) {
	caught := make(chan os.Signal, 1)
	signal.Notify(caught, os.Interrupt)
	defer signal.Stop(caught)
	self, err := os.FindProcess(os.Getpid())
	require.NoError(t, err)
	defer func() { require.NoError(t, self.Release()) }()
	stop, stopped := make(chan struct{}), make(chan error, 1)
	go func() {
		for {
			select {
			case <-stop:
				stopped <- nil
				return
			default:
			}
			if err := self.Signal(os.Interrupt); err != nil {
				stopped <- err
				return
			}
			<-caught
		}
	}()
	for _, k := range kinds() {
		rounds := pingPongRounds() / 5
		if k.slow {
			rounds = stepRounds
		}
		t.Run(k.name, func(t *testing.T) { pingPong(t, k, rounds) })
	}
	close(stop)
	require.NoError(t, shmtest.Soon(t, stopped, "signaller"))
}

// An interrupt that hits a Wait between its last look and its sleep must reach the sleep: one wake-up would not.
func TestFutexInterruptGoesOnUntilTheSleeperIsAwake(t *testing.T) {
	for _, tt := range []struct {
		name string
		call func(w *sem.FutexWaiter)
	}{
		{"Interrupt", func(w *sem.FutexWaiter) { w.Interrupt() }},
		{"Close", func(w *sem.FutexWaiter) { _ = w.Close() }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			region := mem.AlignedBytes(64)
			w, err := sem.NewFutexWaiter(region, 0)
			require.NoError(t, err)
			w.AboutToSleep()
			returned := make(chan struct{})
			go func() {
				defer close(returned)
				tt.call(w)
			}()
			shmtest.StillBlocked(t, returned, tt.name+" of a Wait about to sleep")
			slept := make(chan error, 1)
			go func() { slept <- sys.FutexWait(mem.Uint32At(region, 0), 0, -1) }()
			require.NoError(t, shmtest.Soon(t, slept, "sleep begun too late to see the interrupt"))
			w.Awake()
			shmtest.Soon(t, returned, "end of "+tt.name)
			require.NoError(t, w.Close())
		})
	}
}
