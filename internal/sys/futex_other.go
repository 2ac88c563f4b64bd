//go:build !linux

package sys

import (
	"sync/atomic"
	"time"
)

// FutexSupported says why there are no futexes here: an error that Is [errors.ErrUnsupported].
func FutexSupported() error { return unsupported("futex") }

// FutexWait fails on this platform.
func FutexWait(*atomic.Uint32, uint32, time.Duration) error { return unsupported("futex") }

// FutexWake fails on this platform.
func FutexWake(*atomic.Uint32, int) (int, error) { return 0, unsupported("futex") }
