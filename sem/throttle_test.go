package sem_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/shmwire/shmwire/internal/shmtest"
	"github.com/shmwire/shmwire/sem"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// fruitless is one wake-up for nothing; it returns how long the wait took.
func fruitless(t testing.TB, th *sem.Throttle, r *sem.Relay) time.Duration {
	t.Helper()
	v := th.Load()
	r.Wake()
	start := time.Now()
	require.NoError(t, th.Wait(v, -1))
	th.Woke(false)
	return time.Since(start)
}

func TestThrottleSlowsAStormUntilAFruit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := sem.NewRelay()
		th := sem.NewThrottle(r)
		storm(t, th, r)
		for n := range uint64(10) {
			assert.Equal(t, time.Millisecond, fruitless(t, th, r))
			assert.Equal(t, n+1, th.Throttled())
		}
		v := th.Load()
		r.Wake()
		require.NoError(t, th.Wait(v, -1))
		th.Woke(true)
		for range 1000 {
			assert.Zero(t, fruitless(t, th, r))
		}
		assert.EqualValues(t, 11, th.Throttled())
	})
}

func TestThrottleLeavesSlowFruitlessWakesAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		th := sem.NewThrottle(sem.NewRelay())
		for range 5000 { // just under a thousand a second
			start := time.Now()
			require.NoError(t, th.Wait(th.Load(), 1001*time.Microsecond))
			th.Woke(false)
			require.Equal(t, 1001*time.Microsecond, time.Since(start))
		}
		assert.Zero(t, th.Throttled())
	})
}

// A server that ends its own waits, by deadlines or to abort a read, is not under attack.
func TestThrottleIgnoresWaitsThatWeEndedOurselves(t *testing.T) {
	forEachKind(t, func(t *testing.T, k kind, _ sem.Doorbell, w sem.Waiter) {
		if _, nested := w.(*sem.Throttle); nested {
			t.Skip("a throttle is not put around a throttle")
		}
		th := sem.NewThrottle(w)
		for range 3000 {
			v := th.Load()
			th.Interrupt()
			require.NoError(t, th.Wait(v, -1))
			th.Woke(false)
			require.NoError(t, th.Wait(th.Load(), 0))
			th.Woke(false)
		}
		assert.Zero(t, th.Throttled())
	})
}

func TestThrottleForgivesTheBusy(t *testing.T) {
	for _, tt := range []struct {
		name      string
		per       int // fruitless wakes for each fruitful one
		throttled bool
	}{
		{"sixteen wakes for a message", 16, false},
		{"a hundred wakes for a message", 100, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := sem.NewRelay()
			th := sem.NewThrottle(r)
			for range 5000 / tt.per {
				for range tt.per {
					fruitless(t, th, r)
				}
				th.Woke(true)
			}
			assert.Equal(t, tt.throttled, th.Throttled() > 0)
		})
	}
}

func TestThrottleKeepsTimeouts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := sem.NewRelay()
		th := sem.NewThrottle(r)
		storm(t, th, r)
		for _, timeout := range []time.Duration{0, 1, 300 * time.Microsecond, time.Millisecond, time.Second} {
			start := time.Now()
			require.NoError(t, th.Wait(th.Load(), timeout))
			assert.Equal(t, timeout, time.Since(start))
		}
	})
}

// In its pause the throttle does not hear the doorbell, but it hears Interrupt: fake time does not pass.
func TestThrottleIsInterruptedInItsPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := sem.NewRelay()
		th := sem.NewThrottle(r)
		storm(t, th, r)
		start := time.Now()
		done := startWait(th, th.Load(), -1)
		synctest.Wait() // it is in its pause
		r.Wake()
		synctest.Wait()
		select {
		case err := <-done:
			t.Errorf("Wait returned %v at a ring in its pause", err)
		default:
		}
		th.Interrupt()
		require.NoError(t, <-done)
		assert.Zero(t, time.Since(start))
	})
}

// A bell that never stops ringing wakes a real sleeper about a thousand times a second, no more; here: the pauses are
// taken although the bell rings all the time.
func TestThrottleUnderARealStorm(t *testing.T) {
	r := sem.NewRelay()
	th := sem.NewThrottle(r)
	closeAtEnd(t, th)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				r.Wake()
			}
		}
	}()
	defer func() {
		close(stop)
		shmtest.Soon(t, stopped, "ringer")
	}()
	shmtest.Watchdog(t, time.Minute)
	start := time.Now()
	for th.Throttled() < 20 {
		require.NoError(t, th.Wait(th.Load(), -1))
		th.Woke(false)
	}
	assert.GreaterOrEqual(t, time.Since(start), 20*time.Millisecond)
}
