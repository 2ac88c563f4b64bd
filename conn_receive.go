package shmwire

import (
	"context"
	"fmt"
	"iter"

	"github.com/shmwire/shmwire/internal/mem"
)

// inSide is the receiving side of a Conn.
type inSide struct {
	side
	rest  []byte // of a message of which Read has taken a part; a view
	lent  bool   // rest is a view that is to be released
	views uint64 // number of the Record that is open, or was last
	open  bool
}

// emptyLooks is after how many empty messages in a row Read looks whether it has to stop.
const emptyLooks = 1024

func (c *Conn) beginReceive(ctx context.Context) error {
	_ = ctx.Err() // a nil context panics here, where nothing is held
	if err := c.life.enter(); err != nil {
		return err
	}
	err := c.in.acquire(ctx)
	if err != nil {
		c.life.leave()
	}
	return err
}

func (c *Conn) endReceive() {
	c.in.release()
	c.life.leave()
}

// next returns a view of what is to be received next: the rest of a message that Read has begun, or the next message.
func (c *Conn) next(ctx context.Context) ([]byte, error) {
	if c.in.lent {
		return c.in.rest, nil
	}
	view, err := c.link.next(ctx)
	if err != nil {
		return nil, err
	}
	mem.RaceAcquire()
	c.in.rest, c.in.lent = view, true
	return view, nil
}

func (c *Conn) releaseView() {
	c.in.rest, c.in.lent = nil, false
	c.link.release()
}

// Receive waits for a message and returns it appended to buf[:0], so that a large enough buf avoids allocation. The
// result is the caller's. After a Read that took a part of a message it returns the rest of that.
//
// Errors: [io.EOF] once everything is received that was sent before the other end's Close or CloseWrite; [ErrPeerDied]
// once everything is received that was sent before it died; the context's error; one that Is
// [os.ErrDeadlineExceeded] or [net.ErrClosed]; [ErrCorrupt].
func (c *Conn) Receive(ctx context.Context, buf []byte) (msg []byte, err error) {
	if err := c.beginReceive(ctx); err != nil {
		return nil, c.opError("receive", err)
	}
	defer c.endReceive()
	view, err := c.next(ctx)
	if err != nil {
		return nil, c.opError("receive", err)
	}
	msg = append(buf[:0], view...)
	c.releaseView()
	return msg, nil
}

// Read reads from the byte stream: it waits for at least one byte, goes on inside a message that an earlier Read has
// left, and takes further messages that are there already. Empty messages are skipped. Errors are those of
// [Conn.Receive].
func (c *Conn) Read(b []byte) (n int, err error) {
	if err := c.beginReceive(context.Background()); err != nil {
		return 0, c.opError("read", err)
	}
	defer c.endReceive()
	for empty := 0; n == 0 && len(b) > 0; empty++ {
		if empty%emptyLooks == emptyLooks-1 {
			if err := c.in.stop(); err != nil {
				return 0, c.opError("read", err)
			}
		}
		if _, err := c.next(context.Background()); err != nil {
			return 0, c.opError("read", err)
		}
		n = c.takeBytes(b)
	}
	for n < len(b) && c.readyBytes() {
		n += c.takeBytes(b[n:])
	}
	return n, nil
}

// takeBytes copies from the current view and gives it back once it is used up.
func (c *Conn) takeBytes(b []byte) int {
	n := copy(b, c.in.rest)
	c.in.rest = c.in.rest[n:]
	if len(c.in.rest) == 0 {
		c.releaseView()
	}
	return n
}

// readyBytes takes the next message if it is there, and reports whether it has bytes. An empty one is skipped.
func (c *Conn) readyBytes() bool {
	view, ok := c.link.ready()
	if !ok {
		return false
	}
	mem.RaceAcquire()
	c.in.rest, c.in.lent = view, true
	if len(view) == 0 {
		c.releaseView()
	}
	return len(view) > 0
}

// Record is a received message where it lies. It is given back with Release, once.
type Record struct {
	c    *Conn
	id   uint64
	view []byte
}

// Next waits for a message and gives the caller a view of it, without copying. Until Release other receivers of this
// end wait, and the message takes room in the ring. After a Read that took a part of a message it gives the rest of
// that. Errors are those of [Conn.Receive].
func (c *Conn) Next(ctx context.Context) (Record, error) {
	if err := c.beginReceive(ctx); err != nil {
		return Record{}, c.opError("receive", err)
	}
	defer c.life.leave()
	view, err := c.next(ctx)
	if err != nil {
		c.in.release()
		return Record{}, c.opError("receive", err)
	}
	c.life.lend() // within a call, so Close has not freed anything yet
	c.in.views++
	c.in.open = true
	return Record{c: c, id: c.in.views, view: view}, nil
}

// Bytes returns the message. The slice is the caller's to read until Release. Over shared memory it must not be
// written, which is a fault, and a peer that is not trusted may change it meanwhile: use [Conn.Receive] there, or read
// every byte once.
func (r Record) Bytes() []byte { return r.view }

// Release gives the message back. It panics if that was done before.
func (r Record) Release() {
	if r.c == nil {
		panic("shmwire: Release of the zero Record")
	}
	c := r.c
	if !c.in.open || c.in.views != r.id {
		panic(fmt.Sprintf("shmwire: Release of record %d, which was released before", r.id))
	}
	c.in.open = false
	defer c.life.giveBack()
	defer c.in.release()
	if c.life.enter() == nil { // after Close nobody is told any more
		c.releaseView()
		c.life.leave()
	}
}

// Messages returns an iterator over the messages, as views that are valid until the next one. The loop ends with the
// connection, silently for [io.EOF] and with a last pair of nil and the error otherwise; breaking out of it gives the
// current message back.
func (c *Conn) Messages(ctx context.Context) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for c.yieldNext(ctx, yield) {
		}
	}
}

// yieldNext lends one message to the loop's body and reports whether the loop goes on.
func (c *Conn) yieldNext(ctx context.Context, yield func([]byte, error) bool) bool {
	r, err := c.Next(ctx)
	if err != nil {
		if !isEOF(err) {
			yield(nil, err)
		}
		return false
	}
	defer r.Release() // also when the body panics
	return yield(r.Bytes(), nil)
}
