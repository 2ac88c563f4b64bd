package ring

import (
	"errors"
	"time"
)

// Doorbell wakes the other side.
type Doorbell interface {
	// Ring advances the doorbell word of our own region ([ProducerDoorbellOffset], [ConsumerDoorbellOffset]) and wakes
	// whoever waits for it to change. A ring calls it only when the other side has announced that it sleeps, when a
	// handle is made, and from Close.
	Ring()
}

// Waiter is how a handle sleeps until the other side rings. Its methods are called by the handle's goroutine.
//
// Two more methods are used if the Waiter has them. Interrupt() ends the current Wait, or the next one if none is
// running but Load has been called; it may be called from any goroutine, also when nothing waits, and is how a context
// reaches a sleeper (without it, sleeps under a context that can end take at most 50 ms each). Woke(fruitful bool) is
// told after every Wait whether the look that followed found anything.
type Waiter interface {
	// Load returns the value of the doorbell word that the other side rings.
	Load() uint32
	// Wait returns when the word no longer has that value, after timeout (negative: never), or for no reason at all: the
	// handle looks again in any case. An error is for a broken waiter only and ends the call that wanted to sleep.
	Wait(value uint32, timeout time.Duration) error
}

// Config joins one side of a ring to its surroundings. Both sides must agree on Geometry and Start.
type Config struct {
	Geometry

	// Start is the position of the first slot. The default is 0. With another one the consumer must be made before the
	// producer runs out of space for the first time, because zeroed memory says position 0.
	Start uint64

	// Doorbell wakes the other side. It may be nil only if PeerNeverParks.
	Doorbell Doorbell

	// PeerNeverParks says that the other side has declared, in a way that binds it, that it never sleeps on this ring
	// (its Waiter is nil). Publishing then costs no fence and no look at the other side. The default is false.
	PeerNeverParks bool

	// Waiter is how this handle sleeps. Nil means that it never does: it spins and yields the processor between looks.
	Waiter Waiter

	// Spin is tried once at the start of every wait, before sleeping: it calls look as often as it thinks fit, stops when
	// look returns true, and returns look's last answer. Nil means: sleep at once, or without a Waiter spin until found.
	// A handle without Waiter calls it again and again.
	Spin func(look func() bool) bool

	// Stopped is asked on every turn of a wait. Once it returns an error (closed, deadline passed, peer gone), the handle
	// looks once more and, if that finds nothing, ends the call with that error. Nil means never.
	Stopped func() error

	// Timeout is asked before every sleep for its longest duration; negative means no limit, and so does a nil Timeout.
	Timeout func() time.Duration
}

func (cfg *Config) validate() error {
	if err := cfg.Geometry.Validate(); err != nil {
		return err
	}
	if cfg.Doorbell == nil && !cfg.PeerNeverParks {
		return errors.New("ring: config: Doorbell is nil, want one unless PeerNeverParks")
	}
	return nil
}
