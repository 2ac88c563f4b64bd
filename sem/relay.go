package sem

import (
	"os"
	"sync/atomic"
	"time"
)

// Relay waits for rings that another goroutine of this process receives, for instance as bytes on a socket, and passes
// on with Wake. It makes no system call and works on every platform.
type Relay struct {
	private
	rings atomic.Uint32 // the doorbell's value
	// One token says: rings or interrupts has changed since you last looked. Who changes one puts a token in afterwards,
	// unless one is there; so a sleeper that found nothing and then takes a token misses nothing.
	token chan struct{}
	timer *time.Timer // the sleeper's; kept because a new one for each Wait would be allocated
}

var _ Waiter = (*Relay)(nil)

// NewRelay returns a waiter that is rung by Wake.
func NewRelay() *Relay {
	r := &Relay{token: make(chan struct{}, 1), timer: time.NewTimer(time.Hour)}
	r.timer.Stop()
	return r
}

// Wake passes a ring on. It may be called from any goroutine and never blocks.
func (r *Relay) Wake() {
	r.rings.Add(1)
	r.signal()
}

func (r *Relay) signal() {
	select {
	case r.token <- struct{}{}:
	default:
	}
}

// Load returns how often Wake was called, modulo 2^32; 0 after Close.
func (r *Relay) Load() uint32 {
	if !r.enter() {
		return 0
	}
	defer r.leave()
	r.note()
	return r.rings.Load()
}

func (r *Relay) value() uint32 { return r.rings.Load() }

// Wait sleeps until Wake is called.
func (r *Relay) Wait(value uint32, timeout time.Duration) error {
	if !r.enter() {
		return os.ErrClosed
	}
	defer r.leave()
	var expired <-chan time.Time // nil: never
	if timeout >= 0 {
		r.timer.Reset(timeout)
		defer r.timer.Stop()
		expired = r.timer.C
	}
	for r.rings.Load() == value && !r.interrupted() {
		select {
		case <-r.token: // possibly an old one: look
		case <-expired:
			return nil
		}
	}
	if r.closed.Load() {
		return os.ErrClosed
	}
	return nil
}

// Interrupt ends a Wait. It does not block.
func (r *Relay) Interrupt() {
	r.interrupt()
	r.signal()
}

// Close ends a Wait for good. The error is always nil.
func (r *Relay) Close() error {
	r.close()
	r.signal()
	return nil
}
