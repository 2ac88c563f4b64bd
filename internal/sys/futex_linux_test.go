package sys_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/shmwire/shmwire/internal/shmtest"
	"github.com/shmwire/shmwire/internal/sys"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func startFutexWait(word *atomic.Uint32, value uint32, timeout time.Duration) <-chan error {
	done := make(chan error, 1)
	go func() { done <- sys.FutexWait(word, value, timeout) }()
	return done
}

func TestFutexWaitReturnsAtOnceForAnotherValue(t *testing.T) {
	var word atomic.Uint32
	for _, value := range []uint32{1, 1 << 31, 1<<32 - 1} {
		require.NoError(t, shmtest.Soon(t, startFutexWait(&word, value, -1), "FutexWait for another value"))
	}
}

func TestFutexWaitTimesOut(t *testing.T) {
	var word atomic.Uint32
	for _, timeout := range []time.Duration{0, 1, 10 * time.Millisecond} {
		require.NoError(t, shmtest.Soon(t, startFutexWait(&word, 0, timeout), "FutexWait with a timeout"))
	}
}

func TestFutexWakeWakesUpToN(t *testing.T) {
	var word atomic.Uint32
	const sleepers = 5
	done := make(chan error, sleepers)
	for range sleepers {
		go func() { done <- sys.FutexWait(&word, 0, -1) }()
	}
	shmtest.StillBlocked(t, done, "five sleepers")
	woken := 0
	shmtest.Eventually(t, "two sleepers woken", func() bool {
		n, err := sys.FutexWake(&word, 2-woken)
		require.NoError(t, err)
		woken += n
		return woken == 2
	})
	require.NoError(t, shmtest.Soon(t, done, "first sleeper"))
	require.NoError(t, shmtest.Soon(t, done, "second sleeper"))
	shmtest.StillBlocked(t, done, "three sleepers")
	shmtest.Eventually(t, "all sleepers woken", func() bool {
		n, err := sys.FutexWake(&word, 1<<31-1)
		require.NoError(t, err)
		woken += n
		return woken == sleepers
	})
	for range sleepers - 2 {
		require.NoError(t, shmtest.Soon(t, done, "sleeper"))
	}
	n, err := sys.FutexWake(&word, 1)
	require.NoError(t, err)
	assert.Zero(t, n, "nobody is left")
}

// The longest timeouts must not wrap into the past on platforms whose seconds are 32 bits.
func TestFutexWaitWithTheLongestTimeout(t *testing.T) {
	for _, timeout := range []time.Duration{1 << 62, 1<<63 - 1, 1 << 31 * time.Second} {
		var word atomic.Uint32
		done := make(chan error, 1)
		go func() {
			for word.Load() == 0 { // a signal may end a wait with a timeout early
				if err := sys.FutexWait(&word, 0, timeout); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
		shmtest.StillBlocked(t, done, "FutexWait of many years")
		word.Store(1)
		_, err := sys.FutexWake(&word, 1)
		require.NoError(t, err)
		require.NoError(t, shmtest.Soon(t, done, "woken FutexWait"))
	}
}

func TestFutexAllocatesNothing(t *testing.T) {
	var word atomic.Uint32
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		_ = sys.FutexWait(&word, 1, -1)
		_ = sys.FutexWait(&word, 0, time.Microsecond)
		_, _ = sys.FutexWake(&word, 1)
	}))
}
