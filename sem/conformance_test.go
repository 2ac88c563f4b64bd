package sem_test

import (
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shmwire/shmwire/internal/mem"
	"github.com/shmwire/shmwire/internal/shmtest"
	"github.com/shmwire/shmwire/sem"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// startWait runs Wait in a goroutine of its own.
func startWait(w sem.Waiter, value uint32, timeout time.Duration) <-chan error {
	done := make(chan error, 1)
	go func() { done <- w.Wait(value, timeout) }()
	return done
}

func TestRingBetweenLoadAndWait(t *testing.T) {
	forEachKind(t, func(t *testing.T, _ kind, bell sem.Doorbell, w sem.Waiter) {
		for range 100 {
			v := w.Load()
			bell.Ring()
			require.NoError(t, shmtest.Soon(t, startWait(w, v, -1), "Wait after a ring"))
		}
	})
}

func TestRingDuringWait(t *testing.T) {
	forEachKind(t, func(t *testing.T, _ kind, bell sem.Doorbell, w sem.Waiter) {
		done := startWait(w, w.Load(), -1)
		shmtest.StillBlocked(t, done, "Wait without a ring")
		bell.Ring()
		require.NoError(t, shmtest.Soon(t, done, "Wait during which it rings"))
	})
}

// A ring from before Load ends no wait, but spoils none either.
func TestRingBeforeLoad(t *testing.T) {
	forEachKind(t, func(t *testing.T, k kind, bell sem.Doorbell, w sem.Waiter) {
		before := w.Load()
		bell.Ring()
		v := w.Load()
		done := startWait(w, v, -1)
		if k.exact {
			assert.NotEqual(t, before, v, "a ring changes the value")
			shmtest.StillBlocked(t, done, "Wait after an old ring")
		}
		bell.Ring()
		require.NoError(t, shmtest.Soon(t, done, "Wait during which it rings"))
	})
}

func TestWaitForAnOldValueReturns(t *testing.T) {
	forEachKind(t, func(t *testing.T, _ kind, bell sem.Doorbell, w sem.Waiter) {
		v := w.Load()
		bell.Ring()
		for range 3 {
			require.NoError(t, shmtest.Soon(t, startWait(w, v, -1), "Wait for a value that has passed"))
		}
	})
}

func TestTimeout(t *testing.T) {
	for _, timeout := range []time.Duration{0, 1, 5 * time.Millisecond} {
		t.Run(timeout.String(), func(t *testing.T) {
			forEachKind(t, func(t *testing.T, k kind, bell sem.Doorbell, w sem.Waiter) {
				timedOut := 0
				for range 5 {
					start := time.Now()
					require.NoError(t, shmtest.Soon(t, startWait(w, w.Load(), timeout), "Wait with a timeout"))
					if time.Since(start) >= timeout {
						timedOut++
					}
				}
				if k.restless {
					timedOut += 4 // signals five times in a row would be news
				}
				assert.GreaterOrEqual(t, timedOut, 5, "waits that lasted as long as the timeout")
				v := w.Load()
				bell.Ring()
				require.NoError(t, shmtest.Soon(t, startWait(w, v, -1), "Wait without a timeout after one with"))
				done := startWait(w, w.Load(), -1)
				shmtest.StillBlocked(t, done, "Wait after the time-outs")
				w.Interrupt()
				require.NoError(t, shmtest.Soon(t, done, "interrupted Wait"))
			})
		})
	}
}

func TestALongTimeoutDoesNotOverflow(t *testing.T) {
	forEachKind(t, func(t *testing.T, k kind, bell sem.Doorbell, w sem.Waiter) {
		done := startWait(w, w.Load(), 1<<63-1)
		if !k.restless {
			shmtest.StillBlocked(t, done, "Wait of 292 years")
		}
		bell.Ring()
		require.NoError(t, shmtest.Soon(t, done, "Wait during which it rings"))
	})
}

func TestInterruptBetweenLoadAndWait(t *testing.T) {
	forEachKind(t, func(t *testing.T, _ kind, _ sem.Doorbell, w sem.Waiter) {
		v := w.Load()
		w.Interrupt()
		w.Interrupt()
		for range 3 { // it lasts until the next Load
			require.NoError(t, shmtest.Soon(t, startWait(w, v, -1), "Wait after an interrupt"))
		}
	})
}

func TestInterruptDuringWait(t *testing.T) {
	forEachKind(t, func(t *testing.T, k kind, _ sem.Doorbell, w sem.Waiter) {
		for _, timeout := range []time.Duration{-1, time.Hour} {
			done := startWait(w, w.Load(), timeout)
			if timeout < 0 || !k.restless {
				shmtest.StillBlocked(t, done, "Wait without a ring")
			}
			w.Interrupt()
			require.NoError(t, shmtest.Soon(t, done, "interrupted Wait"))
		}
	})
}

func TestInterruptBeforeLoadIsHistory(t *testing.T) {
	forEachKind(t, func(t *testing.T, k kind, bell sem.Doorbell, w sem.Waiter) {
		w.Interrupt()
		v := w.Load()
		done := startWait(w, v, -1)
		if k.exact {
			shmtest.StillBlocked(t, done, "Wait after an old interrupt")
		}
		bell.Ring()
		require.NoError(t, shmtest.Soon(t, done, "Wait during which it rings"))
	})
}

// The interrupter sets its flag and interrupts at any moment of the sleeper's way to sleep.
func TestInterruptIsNeverLost(t *testing.T) {
	rounds := 2000
	if testing.Short() {
		rounds = 200
	}
	forEachKind(t, func(t *testing.T, _ kind, _ sem.Doorbell, w sem.Waiter) {
		rng := shmtest.Rand(t)
		for range rounds {
			var stop atomic.Bool
			started, done := make(chan struct{}), make(chan error, 1)
			go func() {
				close(started)
				for !stop.Load() {
					v := w.Load()
					if stop.Load() {
						break
					}
					if err := w.Wait(v, -1); err != nil {
						done <- err
						return
					}
				}
				done <- nil
			}()
			<-started
			mem.Pause(rng.Uint32N(300))
			stop.Store(true)
			w.Interrupt()
			require.NoError(t, shmtest.Soon(t, done, "interrupted sleeper"))
		}
	})
}

func TestCloseBeforeWait(t *testing.T) {
	forEachKind(t, func(t *testing.T, _ kind, bell sem.Doorbell, w sem.Waiter) {
		v := w.Load()
		require.NoError(t, w.Close())
		require.ErrorIs(t, shmtest.Soon(t, startWait(w, v, -1), "Wait after Close"), os.ErrClosed)
		require.ErrorIs(t, shmtest.Soon(t, startWait(w, w.Load(), time.Hour), "Wait after Close"), os.ErrClosed)
		w.Interrupt()
		bell.Ring()
		require.NoError(t, w.Close(), "closing again")
	})
}

func TestCloseDuringWait(t *testing.T) {
	for _, timeout := range []time.Duration{-1, time.Hour} {
		forEachKind(t, func(t *testing.T, k kind, _ sem.Doorbell, w sem.Waiter) {
			if timeout >= 0 && k.restless {
				t.Skip("a signal may end this Wait before Close does")
			}
			done := startWait(w, w.Load(), timeout)
			shmtest.StillBlocked(t, done, "Wait without a ring")
			require.NoError(t, w.Close())
			require.ErrorIs(t, shmtest.Soon(t, done, "Wait during Close"), os.ErrClosed)
		})
	}
}

func TestCloseIsNeverLost(t *testing.T) {
	rng := shmtest.Rand(t)
	for _, k := range kinds() {
		t.Run(k.name, func(t *testing.T) {
			for range 50 {
				_, w := k.open(t)
				done := make(chan error, 1)
				go func() {
					for {
						if err := w.Wait(w.Load(), -1); err != nil {
							done <- err
							return
						}
					}
				}()
				mem.Pause(rng.Uint32N(300))
				require.NoError(t, w.Close())
				require.ErrorIs(t, shmtest.Soon(t, done, "sleeper"), os.ErrClosed)
			}
		})
	}
}

func TestManyRingsAreFewWakes(t *testing.T) {
	forEachKind(t, func(t *testing.T, k kind, bell sem.Doorbell, w sem.Waiter) {
		v := w.Load()
		for range 1000 {
			bell.Ring()
		}
		require.NoError(t, shmtest.Soon(t, startWait(w, v, -1), "Wait after a thousand rings"))
		if _, late := bell.(byteBell); late {
			return // the bytes may arrive one by one
		}
		done := startWait(w, w.Load(), -1)
		shmtest.StillBlocked(t, done, "second Wait after a thousand rings")
		w.Interrupt()
		require.NoError(t, shmtest.Soon(t, done, "interrupted Wait"))
	})
}

func TestTwoSleepersOnOneWaiterPanic(t *testing.T) {
	forEachKind(t, func(t *testing.T, _ kind, bell sem.Doorbell, w sem.Waiter) {
		v := w.Load()
		done := startWait(w, v, -1)
		shmtest.StillBlocked(t, done, "Wait without a ring")
		assert.Panics(t, func() { w.Load() })
		assert.Panics(t, func() { _ = w.Wait(v, 0) })
		bell.Ring()
		require.NoError(t, shmtest.Soon(t, done, "Wait that others disturbed"))
		w.Load()
	})
}
