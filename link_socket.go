package shmwire

import (
	"context"
	"errors"
	"io"
	"net"
	"sync/atomic"

	"github.com/shmwire/shmwire/fallback"
)

// socketLink carries the messages over the Unix socket itself.
type socketLink struct {
	*fallback.Link
	lent []byte // the claim that is open

	out, in counters
}

// counters are written by whoever holds a side's turn.
type counters struct{ messages, bytes atomic.Uint64 }

func (n *counters) add(messages, bytes int) {
	n.messages.Add(uint64(messages))
	n.bytes.Add(uint64(bytes))
}

func (c *Conn) useSocket(uc *net.UnixConn, reason string, maxMessage int) {
	l := &socketLink{Link: fallback.NewLink(uc, fallback.LinkConfig{
		MaxMessage: maxMessage,
		SendStop:   c.out.stop, ReceiveStop: c.in.stop,
		SendDeadline: c.out.until, ReceiveDeadline: c.in.until,
	})}
	c.setLink(l, UnixSocket, reason, maxMessage)
}

func (l *socketLink) send(ctx context.Context, msg []byte) error {
	err := l.Send(ctx, msg)
	if err == nil {
		l.out.add(1, len(msg))
	}
	return err
}

func (l *socketLink) sendBatch(ctx context.Context, msgs [][]byte) (int, error) {
	n, err := l.SendBatch(ctx, msgs)
	for _, m := range msgs[:n] {
		l.out.add(1, len(m))
	}
	return n, err
}

func (l *socketLink) claim(ctx context.Context, n int) (b []byte, err error) {
	l.lent, err = l.Claim(ctx, n)
	return l.lent, err
}

func (l *socketLink) commit() error {
	err := l.Commit(context.Background())
	if err == nil {
		l.out.add(1, len(l.lent))
	}
	return err
}

func (l *socketLink) abort() {}

func (l *socketLink) closeWrite() error {
	err := l.CloseWrite(context.Background())
	if errors.Is(err, io.ErrClosedPipe) || errors.Is(err, ErrPeerDied) {
		return nil // nobody is left to be told
	}
	return err
}

func (l *socketLink) next(ctx context.Context) ([]byte, error) {
	view, err := l.Next(ctx)
	if err == nil {
		l.in.add(1, len(view))
	}
	return view, err
}

func (l *socketLink) ready() ([]byte, bool) {
	view, ok := l.Ready()
	if ok {
		l.in.add(1, len(view))
	}
	return view, ok
}

func (l *socketLink) release() { l.Release() }

func (l *socketLink) wakeSender()   { l.InterruptSend() }
func (l *socketLink) wakeReceiver() { l.InterruptReceive() }

func (l *socketLink) sent(s *Stats, _ bool) {
	s.Sent.Messages, s.Sent.Bytes = l.out.messages.Load(), l.out.bytes.Load()
}

func (l *socketLink) received(s *Stats, _ bool) {
	s.Received.Messages, s.Received.Bytes = l.in.messages.Load(), l.in.bytes.Load()
}

func (l *socketLink) shut() { _ = l.Close() }
func (l *socketLink) free() {}
