package fallback

import (
	"context"
	"os"
	"sync/atomic"
	"time"
)

// LinkConfig joins a [Link] to the connection above it. Nil fields mean never and none.
type LinkConfig struct {
	// MaxMessage is the longest message in bytes, either way; the peer must have agreed to the same.
	MaxMessage int
	// SendStop and ReceiveStop are asked on every turn of a wait; a non-nil error ends it.
	SendStop, ReceiveStop func() error
	// SendDeadline and ReceiveDeadline say until when a wait may last at the moment; the zero time is for ever. A wait
	// that reaches it ends with [os.ErrDeadlineExceeded], if its stop has no other reason. When an answer changes
	// during a wait, InterruptSend or InterruptReceive makes the wait ask again.
	SendDeadline, ReceiveDeadline func() time.Time
}

var past = time.Unix(1, 0)

// halfway is one direction of the socket: how a blocked call in it is told to look around. A blocked call ends when
// the socket's deadline is moved to the past; prepare puts the deadline right again.
type halfway struct {
	set      func(time.Time) error // the socket's SetReadDeadline or SetWriteDeadline
	stop     func() error
	deadline func() time.Time

	interrupted atomic.Bool
	poke        chan struct{} // for waits that are not on the socket
	armed       time.Time     // the deadline that the socket has, unless interrupted

	watched <-chan struct{} // Done of the context whose end interrupts us
	unwatch func() bool     // ends that
}

func (h *halfway) init(set func(time.Time) error, stop func() error, deadline func() time.Time) {
	h.set, h.stop, h.deadline, h.poke = set, stop, deadline, make(chan struct{}, 1)
	if h.stop == nil {
		h.stop = func() error { return nil }
	}
	if h.deadline == nil {
		h.deadline = func() time.Time { return time.Time{} }
	}
}

// interrupt makes the wait that is running, or the next one, ask stop and deadline again. What they answer must have
// changed before.
func (h *halfway) interrupt() {
	h.interrupted.Store(true)
	_ = h.set(past)
	select {
	case h.poke <- struct{}{}:
	default:
	}
}

// prepare readies the socket for a call that may block, or says why there must be none. reset is set after a call
// that timed out. The order counts: deadline first, then the questions, so that an interrupt which is undone here has
// its reason seen, and one that comes later ends the call.
func (h *halfway) prepare(ctx context.Context, reset bool) error {
	want, err := h.arm(reset)
	if err != nil {
		return err
	}
	h.watch(ctx)
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := h.stop(); err != nil {
		return err
	}
	if !want.IsZero() && !time.Now().Before(want) { // nobody else may ask, and the socket would say so for ever
		return os.ErrDeadlineExceeded
	}
	return nil
}

// arm gives the socket the deadline that counts now, and returns it. An interrupt at any moment is either seen by the
// Swap, and then the deadline asked for after it is the new one, or its past deadline is set after ours, or it is
// seen by the Load and we ask once more.
func (h *halfway) arm(reset bool) (want time.Time, err error) {
	for {
		undo := h.interrupted.Swap(false)
		want = h.deadline()
		if !undo && !reset && want.Equal(h.armed) {
			return want, nil
		}
		if err := h.set(want); err != nil {
			return want, err
		}
		h.armed, reset = want, false
		if !h.interrupted.Load() {
			return want, nil
		}
	}
}

// disarmed notes that somebody else has moved the socket's deadline.
func (h *halfway) disarmed() { h.interrupted.Store(true) }

// watch has the end of ctx interrupt us. The last registration is kept, so that a loop with one context registers
// once. It is told by its Done channel, since contexts need not be comparable.
func (h *halfway) watch(ctx context.Context) {
	done := ctx.Done()
	if done == nil || done == h.watched {
		return
	}
	h.stopWatching()
	h.watched, h.unwatch = done, context.AfterFunc(ctx, h.interrupt)
}

func (h *halfway) stopWatching() {
	if h.unwatch != nil {
		h.unwatch()
	}
	h.watched, h.unwatch = nil, nil
}
