package shmwire

import (
	"net"
	"sync/atomic"
)

// life counts who uses a connection, so that its memory is unmapped after the last use and not before.
//
// Calls are what Close waits for: it has woken them, so they end. Loans are views and claims that users hold between
// calls: the last one given back frees the memory. The open connection counts as one loan itself, which Close gives
// back after the last call.
type life struct {
	calls atomic.Int64 // running calls, plus closedMark once Close was called
	loans atomic.Int64
	idle  chan struct{} // closed when Close was called and no call runs
	free  func()        // runs once, when the last loan is back
}

const closedMark = 1 << 40

func (l *life) init(free func()) {
	l.idle, l.free = make(chan struct{}), free
	l.loans.Store(1)
}

// enter begins a call, unless the connection is closed.
func (l *life) enter() error {
	if l.calls.Add(1) > closedMark {
		l.leave()
		return net.ErrClosed
	}
	return nil
}

func (l *life) leave() {
	if l.calls.Add(-1) == closedMark {
		l.quiet()
	}
}

// quiet notes that no call runs after Close. Calls that come later turn back at once, but may bring the count to zero
// again.
func (l *life) quiet() {
	if l.calls.CompareAndSwap(closedMark, 2*closedMark) {
		close(l.idle)
	}
}

func (l *life) closed() bool { return l.calls.Load() >= closedMark }

// close marks the connection closed and reports whether this call was the first to do so.
func (l *life) close() bool {
	for {
		n := l.calls.Load()
		if n >= closedMark {
			return false
		}
		if l.calls.CompareAndSwap(n, n+closedMark) {
			if n == 0 {
				l.quiet()
			}
			return true
		}
	}
}

func (l *life) lend() { l.loans.Add(1) }

func (l *life) giveBack() {
	if l.loans.Add(-1) == 0 {
		l.free()
	}
}
