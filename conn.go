package shmwire

import (
	"context"
	"net"
	"time"
)

// Conn is one end of a connection between two processes: a channel of messages ([Conn.Send], [Conn.Receive] and their
// kin) and a [net.Conn] ([Conn.Read], [Conn.Write]) in one. What one end writes is a sequence of messages; Read sees
// their bytes as a stream, and both kinds of call may be mixed.
//
// All methods may be called from several goroutines. Senders take turns, and so do receivers; a turn ends with the
// call, or for Claim and Next when what they gave is given back.
//
// In the terminology of the Go memory model, a call that sends synchronizes before the call of the other end that
// receives the message.
type Conn struct {
	link      link
	transport Transport
	reason    string
	peer      Peer
	local     net.Addr
	remote    net.Addr
	max       int // longest message
	chunk     int // longest piece of a Write

	life life
	out  outSide
	in   inSide
}

var _ net.Conn = (*Conn)(nil)

// link carries the messages of a connection. Its sending and its receiving half each belong to one goroutine at a
// time, which holds the side's turn; wakeSender and wakeReceiver may be called from any.
type link interface {
	send(ctx context.Context, msg []byte) error
	sendBatch(ctx context.Context, msgs [][]byte) (int, error)
	claim(ctx context.Context, n int) ([]byte, error) // room for a message, until commit or abort
	commit() error
	abort()
	closeWrite() error

	next(ctx context.Context) ([]byte, error) // a view of a message, until release
	ready() ([]byte, bool)                    // the same without waiting
	release()

	wakeSender() // a sender that waits asks its side's stop again
	wakeReceiver()

	sent(s *Stats, exact bool) // exact: the caller has the sender's turn
	received(s *Stats, exact bool)

	shut() // tells the peer that this end is closed; no call runs any more
	free() // frees the memory; nothing is lent out any more
}

// newConn makes a connection of what a handshake settled. The link is set by the caller.
func newConn(uc *net.UnixConn, peer Peer) *Conn {
	c := &Conn{peer: peer, local: uc.LocalAddr(), remote: uc.RemoteAddr()}
	epoch := time.Now()
	c.life.init(func() { c.link.free() })
	c.out.init(&c.life, epoch, func() { c.link.wakeSender() })
	c.in.init(&c.life, epoch, func() { c.link.wakeReceiver() })
	return c
}

// setLink gives the connection its transport, whose messages have at most maxMessage bytes. Longer writes are cut
// into pieces small enough that the peer reads one while the next is written.
func (c *Conn) setLink(l link, t Transport, reason string, maxMessage int) {
	c.link, c.transport, c.reason = l, t, reason
	c.max, c.chunk = maxMessage, max(1, maxMessage/4)
}

// Transport returns what carries the connection's messages, and why: which kind of waking was settled for shared
// memory, or what stood in its way.
func (c *Conn) Transport() (t Transport, reason string) { return c.transport, c.reason }

// Peer returns who is at the other end, as the kernel vouched for it at the handshake.
func (c *Conn) Peer() Peer { return c.peer }

// MaxMessage returns the length in bytes of the longest message that either end can send.
func (c *Conn) MaxMessage() int { return c.max }

// LocalAddr returns the address of this end, of network "unix". A dialler's has no name.
func (c *Conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr returns the address of the other end, of network "unix".
func (c *Conn) RemoteAddr() net.Addr { return c.remote }

// SetDeadline sets the deadline of sending and of receiving, also for calls that wait at the moment. A call that
// meets it returns an error that Is [os.ErrDeadlineExceeded]; the connection goes on. The zero time is none.
func (c *Conn) SetDeadline(t time.Time) error {
	if err := c.SetReadDeadline(t); err != nil {
		return err
	}
	return c.SetWriteDeadline(t)
}

// SetReadDeadline sets the deadline of receiving; see [Conn.SetDeadline].
func (c *Conn) SetReadDeadline(t time.Time) error { return c.setDeadline(&c.in.side, t) }

// SetWriteDeadline sets the deadline of sending; see [Conn.SetDeadline].
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.setDeadline(&c.out.side, t) }

func (c *Conn) setDeadline(s *side, t time.Time) error {
	if err := c.life.enter(); err != nil {
		return c.opError("set", err)
	}
	defer c.life.leave()
	s.setDeadline(t)
	return nil
}

// CloseWrite tells the other end that nothing follows: once it has received everything sent so far it gets [io.EOF].
// Receiving goes on. Sending after it is an error that Is [io.ErrClosedPipe].
func (c *Conn) CloseWrite() error {
	return c.opError("close", c.sending(context.Background(), func() error {
		err := c.link.closeWrite()
		if err == nil {
			c.out.finished = true
		}
		return err
	}))
}

// Close ends the connection. What was sent before stays to be received by the other end, which then gets [io.EOF].
// Calls that wait return an error that Is [net.ErrClosed], and so does every later call. Close returns when none
// runs any more; memory that Claim and Next gave is valid until it is given back.
func (c *Conn) Close() error {
	if !c.life.close() {
		return c.opError("close", net.ErrClosed)
	}
	c.in.nudge()
	c.out.nudge()
	<-c.life.idle
	c.link.shut()
	c.life.giveBack()
	return nil
}
