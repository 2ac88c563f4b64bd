package sem

import (
	"fmt"
	"sync/atomic"
	"time"
)

// Doorbell wakes a sleeper, usually in another process.
type Doorbell interface {
	// Ring wakes whoever waits on this doorbell, or keeps the next Wait from sleeping if its Load came before. It never
	// blocks.
	Ring()
}

// Waiter is how one goroutine sleeps until a doorbell rings. Load and Wait belong to one goroutine at a time;
// Interrupt and Close may be called from any. The package documentation numbers what holds for all waiters.
type Waiter interface {
	// Load begins a wait: it returns the doorbell's value now and takes note of the interrupts so far.
	Load() uint32
	// Wait sleeps until the doorbell's value differs from value, Interrupt is called after the Load, or timeout has
	// passed (< 0: none). It returns nil for "look again", which may come early, and an error only if waiting cannot
	// work any more: one that Is os.ErrClosed after Close.
	Wait(value uint32, timeout time.Duration) error
	// Interrupt ends the Wait that is under way or the next one; the next Load takes note and ends its effect.
	// It may be called any number of times.
	Interrupt()
	// Close frees what the waiter holds. A Wait under way returns. Closing again does nothing.
	Close() error
}

// private is the half of a waiter that no other process sees.
type private struct {
	closed     atomic.Bool   // set once, by Close, before interrupts grows
	interrupts atomic.Uint32 // how often Interrupt or Close was called
	turn       atomic.Uint32 // odd while a Load or Wait runs; written by the sleeper
	noted      uint32        // interrupts at the last Load; the sleeper's
}

// enter begins a Load or Wait. It reports false, and leaves again, if the waiter is closed.
//
// The order here is that of W2 and W5: the turn is odd before closed and interrupts are read, and interrupt writes
// those before it reads the turn. So either the sleeper sees the interrupt, or the interrupter sees the sleeper.
func (p *private) enter() bool {
	turn := p.turn.Load()
	if turn&1 == 1 || !p.turn.CompareAndSwap(turn, turn+1) {
		panic(fmt.Sprintf("sem: two goroutines use one waiter at once (turn %d)", turn))
	}
	if p.closed.Load() {
		p.leave()
		return false
	}
	return true
}

func (p *private) leave() { p.turn.Add(1) }

// note makes the interrupts so far history.
func (p *private) note() { p.noted = p.interrupts.Load() }

// interrupted reports whether an interrupt came since note.
func (p *private) interrupted() bool { return p.interrupts.Load() != p.noted }

// interrupt is seen by whatever Load or Wait reads interrupts later. It returns the turn of one that may have
// read it before and may still sleep (odd), or an even number.
func (p *private) interrupt() uint32 {
	p.interrupts.Add(1)
	return p.turn.Load()
}

// close is interrupt for ever.
func (p *private) close() uint32 {
	p.closed.Store(true)
	return p.interrupt()
}
