package sys

import (
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// maxFutexTimeout bounds one wait, so that the seconds fit the 32-bit timespec of 32-bit platforms. A wait may end
// early at any time anyway, so nobody notices.
const maxFutexTimeout = 24 * time.Hour

// FutexSupported returns nil: Linux has futexes.
func FutexSupported() error { return nil }

// FutexWait sleeps while *word == value, until FutexWake on the same word of memory, by any process that maps it.
// A timeout < 0 means none. The memory may be mapped read-only.
//
// It returns nil when the caller should look again: woken, value changed, timed out, or interrupted by a signal (EINTR
// is not retried here, because a retry would begin the timeout anew). An error means that waiting cannot work,
// for instance because the memory is no longer mapped. The calling goroutine holds an OS thread meanwhile.
func FutexWait(word *atomic.Uint32, value uint32, timeout time.Duration) error {
	var limit *unix.Timespec
	if timeout >= 0 {
		ts := unix.NsecToTimespec(int64(min(timeout, maxFutexTimeout)))
		limit = &ts
	}
	switch errno := futexWait(word, value, limit); errno {
	case 0, unix.EAGAIN, unix.EINTR, unix.ETIMEDOUT:
		return nil
	default:
		return wrap("futex wait", errno)
	}
}

// FutexWake wakes up to n sleepers of FutexWait on this word of memory, in whatever process, and returns how many it
// woke. It never blocks.
func FutexWake(word *atomic.Uint32, n int) (int, error) {
	woken, errno := futexWake(word, n)
	if errno != 0 {
		return 0, wrap("futex wake", errno)
	}
	return woken, nil
}
