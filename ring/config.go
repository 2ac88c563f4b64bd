package ring

import (
	"errors"
	"fmt"
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

	// Resume says that the regions have been used before and that this handle goes on where its predecessor stopped: a
	// producer behind the last record that is whole, a consumer at the position that was published last. Start is not
	// looked at then. The default is false: the handle's own region is fresh.
	Resume bool

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

	// Owner is the number that a producer of an MPSC ring goes by, 1 to [Owners]; 0 takes any that is free.
	Owner int

	// PID and StartTime are written beside the owner's number, for inspectors.
	PID, StartTime uint64

	// Hold gets the exclusive right to an owner number of an MPSC ring, which the operating system takes away from a
	// process that dies; ok=false means that somebody has it. Release gives it back. Nil means that the table of owners
	// alone decides: then a dead owner's number is lost.
	Hold func(owner int) (release func(), ok bool, err error)

	// ProvenDead reports whether nobody holds an owner number of an MPSC ring and nobody can commit under it any more. In
	// doubt it says false: a claim of somebody who is only slow is never overruled. It is asked by the handle's goroutine,
	// seldom while it runs and often while it waits. Nil means never.
	ProvenDead func(owner int) bool

	// OnStall is told, by the goroutine that waits, about a claim that holds the consumer of an MPSC ring up: once per
	// sleep, and once in a while when spinning. Nil means nobody is.
	OnStall func(Stall)
}

// Stall is a claim of an MPSC ring that has been neither committed nor aborted, and all that is behind it waits for it.
type Stall struct {
	Owner    int           // who made it
	Position uint64        // where it starts
	Slots    int           // how much it covers
	Age      time.Duration // since this consumer found it there
}

func (cfg *Config) validate() error {
	if err := cfg.Geometry.Validate(); err != nil {
		return err
	}
	if cfg.Doorbell == nil && !cfg.PeerNeverParks {
		return errors.New("ring: config: Doorbell is nil, want one unless PeerNeverParks")
	}
	if cfg.Owner < 0 || cfg.Owner > Owners {
		return fmt.Errorf("ring: config: Owner is %d, want 1 to %d, or 0 for any", cfg.Owner, Owners)
	}
	if cfg.Owner != 0 && !cfg.MPSC {
		return fmt.Errorf("ring: config: Owner is %d, want 0 on a ring with one producer", cfg.Owner)
	}
	return nil
}
