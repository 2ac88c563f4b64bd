package sem

import (
	"sync/atomic"
	"time"
)

const (
	stormWakes  = 1000             // more fruitless wakes than this ...
	stormWindow = time.Second      // ... within this time are a storm
	backOff     = time.Millisecond // the pause before each Wait in a storm
	forgiven    = 16               // fruitless wakes that one fruitful wake makes good
)

// Throttle bounds what a peer can cost that rings without reason: after more than 1,000 fruitless wakes within a
// second each Wait begins with a pause of one millisecond in which the doorbell is not heard, until a wake bears
// fruit. Pauses end at once on Interrupt, Close and time-out.
//
// A fruitful wake makes up for 16 fruitless ones: a peer that sends a message now and then does not buy itself the
// right to a storm, and a busy one is not throttled for the odd ring that came too late to matter.
type Throttle struct {
	waiter     Waiter
	values     valuer // the waiter, if it can tell the doorbell's value between waits
	knows      bool
	pause      *Relay // nobody wakes it: it supplies a sleep that can be interrupted
	pauseValue uint32
	rang       bool      // the last Wait was ended by the doorbell
	since      time.Time // of the first of the fruitless wakes counted
	fruitless  int
	storm      bool
	throttled  atomic.Uint64
}

var _ Waiter = (*Throttle)(nil)

// NewThrottle returns a waiter that sleeps by w and takes it over: Close closes it.
func NewThrottle(w Waiter) *Throttle {
	t := &Throttle{waiter: w, pause: NewRelay()}
	t.values, t.knows = w.(valuer)
	return t
}

// valuer is a waiter that tells its doorbell's value without beginning a wait, as Load would. The sleeper calls it.
type valuer interface{ value() uint32 }

// Load returns what the waiter's Load returns.
func (t *Throttle) Load() uint32 {
	t.pauseValue = t.pause.Load()
	return t.waiter.Load()
}

// Wait waits as the waiter does, in a storm after a pause.
func (t *Throttle) Wait(value uint32, timeout time.Duration) error {
	if t.storm {
		pause := backOff
		if timeout >= 0 {
			pause = min(pause, timeout)
			timeout -= pause
		}
		t.throttled.Add(1)
		if err := t.pause.Wait(t.pauseValue, pause); err != nil {
			return err
		}
	}
	err := t.waiter.Wait(value, timeout)
	t.rang = !t.knows || t.values.value() != value
	return err
}

// Woke says whether the look after a Wait found something. It belongs to the goroutine that waits. Waits that our own
// side ended, by Interrupt or a time-out, are no storm of the peer's and do not count.
func (t *Throttle) Woke(fruitful bool) {
	if fruitful {
		t.fruitless = max(0, t.fruitless-forgiven)
		if t.storm {
			t.storm, t.fruitless = false, 0
		}
		return
	}
	if t.storm || !t.rang {
		return
	}
	if t.fruitless == 0 {
		t.since = time.Now()
	}
	t.fruitless++
	if t.fruitless > stormWakes {
		t.storm = time.Since(t.since) <= stormWindow
		t.fruitless = 0
	}
}

// Throttled returns how many Waits began with a pause. Any goroutine may call it.
func (t *Throttle) Throttled() uint64 { return t.throttled.Load() }

// Interrupt ends a Wait, also one in its pause.
func (t *Throttle) Interrupt() {
	t.pause.Interrupt()
	t.waiter.Interrupt()
}

// Close closes the waiter.
func (t *Throttle) Close() error {
	_ = t.pause.Close() // a Relay has nothing that could fail to close
	return t.waiter.Close()
}
