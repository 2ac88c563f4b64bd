package shmwire

import (
	"context"
	"fmt"

	"github.com/shmwire/shmwire/internal/mem"
	"github.com/shmwire/shmwire/ring"
)

// outSide is the sending side of a Conn.
type outSide struct {
	side
	finished bool   // CloseWrite was called
	claims   uint64 // number of the claim that is open, or was last
	open     bool
}

// sending runs send in the sender's turn.
func (c *Conn) sending(ctx context.Context, send func() error) error {
	if err := c.beginSend(ctx); err != nil {
		return err
	}
	defer c.endSend()
	return send()
}

func (c *Conn) beginSend(ctx context.Context) error {
	_ = ctx.Err() // a nil context panics here, where nothing is held
	if err := c.life.enter(); err != nil {
		return err
	}
	err := c.out.acquire(ctx)
	if err == nil && c.out.finished {
		c.out.release()
		err = errWriteClosed
	}
	if err != nil {
		c.life.leave()
	}
	return err
}

func (c *Conn) endSend() {
	c.out.release()
	c.life.leave()
}

// Send sends msg as one message and returns once the other end is sure to get it if it goes on receiving, whatever
// happens to this process. It waits for room. msg is copied and may be empty or nil.
//
// Errors, which all mean that nothing was sent: [ErrTooLarge]; the context's error; one that Is
// [os.ErrDeadlineExceeded], [net.ErrClosed], or [io.ErrClosedPipe] after our CloseWrite or the other end's Close;
// [ErrPeerDied]; [ErrCorrupt].
func (c *Conn) Send(ctx context.Context, msg []byte) error {
	if err := c.fits(len(msg)); err != nil {
		return c.opError("send", err)
	}
	if err := c.beginSend(ctx); err != nil {
		return c.opError("send", err)
	}
	defer c.endSend()
	mem.RaceRelease()
	return c.opError("send", c.link.send(ctx, msg))
}

func (c *Conn) fits(n int) error {
	if n > c.max {
		return &ring.TooLargeError{Got: n, Max: c.max}
	}
	return nil
}

// SendBatch sends msgs in order, each as one message, and returns how many it has sent: all of them unless it also
// returns an error, which is one of [Conn.Send]'s. It is cheaper than that many Sends. With [ErrTooLarge] nothing was
// sent.
func (c *Conn) SendBatch(ctx context.Context, msgs [][]byte) (n int, err error) {
	for _, m := range msgs {
		if err := c.fits(len(m)); err != nil {
			return 0, c.opError("send", err)
		}
	}
	if err := c.beginSend(ctx); err != nil {
		return 0, c.opError("send", err)
	}
	defer c.endSend()
	mem.RaceRelease()
	n, err = c.link.sendBatch(ctx, msgs)
	return n, c.opError("send", err)
}

// Write sends b as part of the byte stream, in messages of at most a quarter of MaxMessage, and returns how many
// bytes it has sent: all of them unless it also returns an error, which is one of [Conn.Send]'s. An empty b sends
// nothing.
func (c *Conn) Write(b []byte) (n int, err error) {
	if err := c.beginSend(context.Background()); err != nil {
		return 0, c.opError("write", err)
	}
	defer c.endSend()
	mem.RaceRelease()
	for n < len(b) {
		piece := b[n:min(len(b), n+c.chunk)]
		if err := c.link.send(context.Background(), piece); err != nil {
			return n, c.opError("write", err)
		}
		n += len(piece)
	}
	return n, nil
}

// Claim is room for one message, to be filled in place. It is given back with Commit or Abort, once.
type Claim struct {
	c   *Conn
	id  uint64
	buf []byte
}

// Claim waits for room for a message of n bytes and gives it to the caller to fill. Until Commit or Abort other
// senders of this end wait. Errors are those of [Conn.Send].
func (c *Conn) Claim(ctx context.Context, n int) (Claim, error) {
	if n < 0 {
		panic(fmt.Sprintf("shmwire: claim of %d bytes", n))
	}
	if err := c.fits(n); err != nil {
		return Claim{}, c.opError("claim", err)
	}
	if err := c.beginSend(ctx); err != nil {
		return Claim{}, c.opError("claim", err)
	}
	defer c.life.leave()
	buf, err := c.link.claim(ctx, n)
	if err != nil {
		c.out.release()
		return Claim{}, c.opError("claim", err)
	}
	c.life.lend() // within a call, so Close has not freed anything yet
	c.out.claims++
	c.out.open = true
	return Claim{c: c, id: c.out.claims, buf: buf}, nil
}

// Bytes returns the room: exactly as many bytes as were claimed, with what they happen to contain. The slice is the
// caller's to write until Commit or Abort. Its content must not be read back where the other end is not trusted to
// leave it alone.
func (cl Claim) Bytes() []byte { return cl.buf }

// Commit sends the message. After Close it returns an error that Is [net.ErrClosed], and nothing is sent; on a
// connection over the socket it may also return the errors of [Conn.Send].
//
// Commit panics if the claim was committed or aborted before.
func (cl Claim) Commit() error {
	cl.settle("Commit")
	c := cl.c
	defer c.life.giveBack()
	defer c.out.release()
	if err := c.life.enter(); err != nil {
		return c.opError("commit", err) // the room is not this end's any more
	}
	defer c.life.leave()
	mem.RaceRelease()
	return c.opError("commit", c.link.commit())
}

// Abort gives the room back; nothing is sent. It panics if the claim was committed or aborted before.
func (cl Claim) Abort() {
	cl.settle("Abort")
	c := cl.c
	defer c.life.giveBack()
	defer c.out.release()
	if c.life.enter() == nil {
		c.link.abort()
		c.life.leave()
	}
}

func (cl Claim) settle(op string) {
	if cl.c == nil {
		panic("shmwire: " + op + " of the zero Claim")
	}
	if !cl.c.out.open || cl.c.out.claims != cl.id {
		panic(fmt.Sprintf("shmwire: %s of claim %d, which was committed or aborted before", op, cl.id))
	}
	cl.c.out.open = false
}
