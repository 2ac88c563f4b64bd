package ring

import (
	"context"
	"fmt"
)

// Action is what the handler of a controlled read says about the record that it was given.
type Action uint8

// Actions of a controlled read.
const (
	Continue Action = iota // taken; go on with the next
	Commit                 // taken; give back all that was taken so far now, and go on
	Break                  // taken; stop
	Rewind                 // not taken, so that the next read begins with it; stop
)

// TryDrain hands the messages that are there now to f, one after another, until there are no more, limit have been
// taken, or f returns an error, which TryDrain returns. It returns how many were taken: those for which f returned nil.
// The one for which it did not comes again with the next call. n=0 with a nil error means that there is no message yet.
// The other errors are those of [Consumer.TryReceive], told when there is no message before them; one found behind
// messages is told by the next call.
//
// msg lies in the ring without a copy, read-only, as with [Consumer.TryNext]; it is valid until f returns, and
// [Consumer.Position] says where it is. f may close the consumer, which ends the call, but call nothing else that takes.
// If f panics, its message is not taken.
//
// The slots are given back together at the end, or once in an eighth of the ring. One call takes at most a ring full,
// however fast the producer is. It panics if limit is less than 1 or a [Record] is not released.
func (c *Consumer) TryDrain(limit int, f func(msg []byte) error) (n int, err error) {
	if err := c.readable("TryDrain", limit); err != nil {
		return 0, err
	}
	r := reading{c: c, from: c.pos}
	defer r.end()
	for r.taken < limit {
		if found, err := r.next(); !found {
			return r.taken, err
		}
		msg := r.open()
		if err := f(msg); err != nil {
			return r.taken, err
		}
		if !r.take(len(msg)) {
			break
		}
		if c.pos-c.published >= c.every {
			c.publishPosition()
		}
	}
	return r.taken, nil
}

// Drain is [Consumer.TryDrain], but waits for the first message as long as it takes. The other errors are those of
// [Consumer.Receive].
func (c *Consumer) Drain(ctx context.Context, limit int, f func(msg []byte) error) (n int, err error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	for {
		if n, err := c.TryDrain(limit, f); n > 0 || err != nil {
			return n, err
		}
		if err := c.await(ctx); err != nil {
			return 0, err
		}
	}
}

// TryRead is a controlled read: it hands the messages that are there now to f, one after another, and f says of each
// whether it is taken and whether to go on. It stops when there are no more or limit have been taken, and returns how
// many were taken. n=0 with a nil error means that there is no message yet, or that f rewound the first. For errors and
// for what f may do see [Consumer.TryDrain]; if f panics, its message is not taken.
//
// Unlike all other calls TryRead gives nothing back by itself before it returns. So whoever goes on after this process
// has died inside f gets everything since the last [Commit] again, as long as Config.Resume is used. It panics if
// limit is less than 1, if f returns no [Action], or if a [Record] is not released.
func (c *Consumer) TryRead(limit int, f func(msg []byte) Action) (n int, err error) {
	n, _, err = c.read("TryRead", limit, f)
	return n, err
}

// Read is [Consumer.TryRead], but waits for the first message as long as it takes. The other errors are those of
// [Consumer.Receive].
func (c *Consumer) Read(ctx context.Context, limit int, f func(msg []byte) Action) (n int, err error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	for {
		n, rewound, err := c.read("Read", limit, f)
		if n > 0 || rewound || err != nil {
			return n, err
		}
		if err := c.await(ctx); err != nil {
			return 0, err
		}
	}
}

// read also reports whether f rewound a message.
func (c *Consumer) read(op string, limit int, f func(msg []byte) Action) (n int, rewound bool, err error) {
	if err := c.readable(op, limit); err != nil {
		return 0, false, err
	}
	r := reading{c: c, from: c.pos}
	defer r.end()
	for r.taken < limit {
		if found, err := r.next(); !found {
			return r.taken, false, err
		}
		msg := r.open()
		action := f(msg)
		switch action {
		case Continue, Commit, Break:
		case Rewind:
			return r.taken, true, nil
		default:
			panic(fmt.Sprintf("ring: action %d for the message at position %d, want Continue (0) to Rewind (3)", action, c.pos))
		}
		if !r.take(len(msg)) || action == Break {
			break
		}
		if action == Commit {
			r.giveBack()
		}
	}
	return r.taken, false, nil
}

// readable returns nil if a call that takes up to limit messages may go on.
func (c *Consumer) readable(op string, limit int) error {
	if limit < 1 {
		panic(fmt.Sprintf("ring: %s of %d messages, want at least 1", op, limit))
	}
	return c.usable(op)
}

// reading is a call that takes several records.
type reading struct {
	c     *Consumer
	from  uint64 // position at the beginning
	taken int    // records
}

// next reports whether there is another record, described by ahead. The error is nil behind a record that was taken.
func (r *reading) next() (bool, error) {
	c := r.c
	if c.ahead == 0 || c.state != 0 {
		if c.pos-r.from > c.mask { // a ring full already
			return false, nil
		}
		if found, err := c.find(); !found {
			if r.taken > 0 {
				err = nil
			}
			return false, err
		}
	}
	// More than a ring cannot have been there: the slots before were not given back when the producer wrote it.
	if slots := c.slotsFor(int(c.ahead >> xShift & xMask)); c.pos-r.from+slots > c.mask+1 {
		return false, nil
	}
	return true, nil
}

// open lends the record's bytes to the handler.
func (r *reading) open() []byte {
	c := r.c
	c.state |= handleOpen
	return c.payload(c.pos, int(c.ahead>>xShift&xMask))
}

// take is Consumer.give without the publication. It reports whether the handler has left the consumer open.
func (r *reading) take(n int) bool {
	c := r.c
	r.taken++
	c.state &^= handleOpen
	if c.state&handleClosed != 0 {
		return false
	}
	c.advance(n)
	return true
}

// giveBack publishes what was taken, unless that has happened.
func (r *reading) giveBack() {
	if c := r.c; c.pos != c.published {
		c.publishPosition()
	}
}

// end leaves the consumer as it is between calls, whatever has ended this one.
func (r *reading) end() {
	r.c.state &^= handleOpen
	if r.c.state&(handleClosed|handlePoisoned) == 0 {
		r.giveBack()
	}
}
