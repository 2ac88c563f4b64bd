package sem_test

import (
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shmwire/shmwire/internal/shmtest"
	"github.com/shmwire/shmwire/sem"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSpinForeverLooksUntilItFinds(t *testing.T) {
	looks := 0
	assert.True(t, sem.SpinForever(func() bool { looks++; return looks == 10_000 }))
	assert.Equal(t, 10_000, looks)
}

// The goroutine that is waited for needs the only processor.
func TestSpinForeverYields(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	shmtest.Watchdog(t, time.Minute)
	var ready atomic.Bool
	go ready.Store(true)
	looks := 0
	assert.True(t, sem.SpinForever(func() bool { looks++; return ready.Load() }))
	// Without the yield, only the runtime's preemption after 10 ms would end this, some 100,000 looks later.
	assert.Less(t, looks, 10_000)
}

// needTwo skips where Adaptive rightly does nothing.
func needTwo(t *testing.T) {
	t.Helper()
	if min(runtime.NumCPU(), runtime.GOMAXPROCS(0)) < 2 {
		t.Skip("one processor: spinning is off")
	}
}

func never() bool  { return false }
func always() bool { return true }

// turnOn brings an Adaptive to the point where it spins in every wait.
func turnOn(t *testing.T, a *sem.Adaptive) {
	t.Helper()
	for n := 0; !a.Stats().On; n++ {
		require.Less(t, n, 200, "waits until spinning is on")
		a.Spin(always)
	}
}

func TestAdaptiveStartsWithTrials(t *testing.T) {
	needTwo(t)
	a := sem.NewAdaptive()
	for range 63 {
		assert.False(t, a.Spin(func() bool { t.Error("looked without a budget"); return true }))
	}
	for range 3 {
		assert.False(t, a.Stats().On)
		assert.True(t, a.Spin(always), "a trial, and others after its success")
	}
	assert.Equal(t, sem.AdaptiveStats{Waits: 66, Spins: 3, Trials: 3, Successes: 3, On: true}, a.Stats())
	assert.True(t, a.Spin(always))
	assert.Equal(t, sem.AdaptiveStats{Waits: 67, Spins: 4, Trials: 3, Successes: 4, On: true}, a.Stats())
}

func TestAdaptiveGivesUpAfterTwoFailures(t *testing.T) {
	needTwo(t)
	a := sem.NewAdaptive()
	turnOn(t, a)
	assert.False(t, a.Spin(never))
	assert.True(t, a.Spin(always))
	assert.False(t, a.Spin(never))
	assert.True(t, a.Stats().On, "one failure in a row")
	assert.False(t, a.Spin(never))
	assert.False(t, a.Stats().On, "two failures in a row")
	spins := a.Stats().Spins
	for range 50 {
		a.Spin(always)
	}
	assert.Equal(t, spins, a.Stats().Spins, "off means that nothing is paid")
	turnOn(t, a)
}

func TestAFailedTrialIsPaidOnceIn64Waits(t *testing.T) {
	needTwo(t)
	a := sem.NewAdaptive()
	for range 640 {
		assert.False(t, a.Spin(never))
	}
	assert.Equal(t, sem.AdaptiveStats{Waits: 640, Spins: 10, Trials: 10}, a.Stats())
}

// A trial that succeeds and one that fails do not add up to success.
func TestTrialsMustSucceedInARow(t *testing.T) {
	needTwo(t)
	a := sem.NewAdaptive()
	for range 10 {
		for a.Stats().Trials%2 == 0 {
			a.Spin(always)
		}
		a.Spin(never)
		require.False(t, a.Stats().On)
	}
}

func TestASpinLastsItsBudget(t *testing.T) {
	needTwo(t)
	a := sem.NewAdaptive()
	for range 63 {
		a.Spin(never)
	}
	looks := 0
	start := time.Now()
	assert.False(t, a.Spin(func() bool { looks++; return false }))
	assert.Greater(t, looks, 1)
	// It may end before its 20 µs only if others needed the processor, which took 5 µs at least.
	assert.GreaterOrEqual(t, time.Since(start), 5*time.Microsecond)
}

// What is found too late for a spin to have been worth its while is found, but counts as a failure.
func TestLateSuccessIsFailure(t *testing.T) {
	needTwo(t)
	a := sem.NewAdaptive()
	turnOn(t, a)
	for range 2 {
		looks := 0
		a.Spin(func() bool {
			looks++
			if looks <= 16 {
				return false
			}
			for start := time.Now(); time.Since(start) < 50*time.Microsecond; {
				runtime.KeepAlive(start)
			}
			return true
		})
	}
	assert.False(t, a.Stats().On)
}

// Where runnable goroutines wait for the processor, a spin takes it from them: it is short and fails.
func TestAdaptiveFailsInACrowd(t *testing.T) {
	needTwo(t)
	a := sem.NewAdaptive()
	turnOn(t, a)
	var stop atomic.Bool
	crowd := make(chan struct{})
	for range 8 * runtime.GOMAXPROCS(0) {
		go func() {
			for !stop.Load() {
				for start := time.Now(); time.Since(start) < 30*time.Microsecond; {
					runtime.KeepAlive(start)
				}
				runtime.Gosched()
			}
			crowd <- struct{}{}
		}()
	}
	shmtest.Eventually(t, "end of spinning", func() bool {
		a.Spin(func() bool { runtime.KeepAlive(a); return false })
		return !a.Stats().On
	})
	stop.Store(true)
	for range 8 * runtime.GOMAXPROCS(0) {
		shmtest.Soon(t, crowd, "goroutine of the crowd")
	}
}

func TestAdaptiveNeverSpinsOnOneProcessor(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	a := sem.NewAdaptive()
	for range 1000 {
		assert.False(t, a.Spin(func() bool { t.Error("looked on one processor"); return true }))
	}
	assert.Equal(t, sem.AdaptiveStats{Waits: 1000}, a.Stats())
}

func TestAdaptiveStopsWhenOneProcessorIsLeft(t *testing.T) {
	needTwo(t)
	a := sem.NewAdaptive()
	turnOn(t, a)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	for range 64 {
		a.Spin(always)
	}
	assert.False(t, a.Stats().On)
	assert.False(t, a.Spin(always))
}
