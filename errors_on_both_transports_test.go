package shmwire_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/shmwire/shmwire"
	"github.com/shmwire/shmwire/internal/shmtest"
	"github.com/shmwire/shmwire/internal/sys"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// identities names every sentinel that err Is.
func identities(err error) []string {
	if err == nil {
		return []string{"nil"}
	}
	all := map[string]error{
		"EOF": io.EOF, "UnexpectedEOF": io.ErrUnexpectedEOF, "ClosedPipe": io.ErrClosedPipe, "EPIPE": sys.EPIPE,
		"Closed": net.ErrClosed, "Deadline": os.ErrDeadlineExceeded, "Canceled": context.Canceled,
		"ContextDeadline": context.DeadlineExceeded, "PeerDied": shmwire.ErrPeerDied, "Corrupt": shmwire.ErrCorrupt,
		"TooLarge": shmwire.ErrTooLarge, "Handshake": shmwire.ErrHandshake, "ECONNRESET": sys.ECONNRESET,
	}
	var got []string
	for name, e := range all {
		if errors.Is(err, e) {
			got = append(got, name)
		}
	}
	var ne net.Error
	if errors.As(err, &ne) && ne.Timeout() {
		got = append(got, "timeout")
	}
	var op *net.OpError
	if errors.As(err, &op) {
		got = append(got, "OpError")
	}
	slices.Sort(got)
	return got
}

// calls are all that can be asked of a Conn.
var calls = []struct {
	name string
	call func(c *shmwire.Conn, ctx context.Context) error
}{
	{"Send", func(c *shmwire.Conn, ctx context.Context) error { return c.Send(ctx, []byte("x")) }},
	{"Send empty", func(c *shmwire.Conn, ctx context.Context) error { return c.Send(ctx, nil) }},
	{"Send too large", func(c *shmwire.Conn, ctx context.Context) error { return c.Send(ctx, make([]byte, c.MaxMessage()+1)) }},
	{"SendBatch", func(c *shmwire.Conn, ctx context.Context) error {
		_, err := c.SendBatch(ctx, [][]byte{{1}, {2}})
		return err
	}},
	{"SendBatch of none", func(c *shmwire.Conn, ctx context.Context) error { _, err := c.SendBatch(ctx, nil); return err }},
	{"Write", func(c *shmwire.Conn, _ context.Context) error { _, err := c.Write([]byte("x")); return err }},
	{"Write of nothing", func(c *shmwire.Conn, _ context.Context) error { _, err := c.Write(nil); return err }},
	{"Claim and Commit", func(c *shmwire.Conn, ctx context.Context) error {
		cl, err := c.Claim(ctx, 1)
		if err != nil {
			return err
		}
		return cl.Commit()
	}},
	{"Claim and Abort", func(c *shmwire.Conn, ctx context.Context) error {
		cl, err := c.Claim(ctx, 1)
		if err == nil {
			cl.Abort()
		}
		return err
	}},
	{"Receive", func(c *shmwire.Conn, ctx context.Context) error { _, err := c.Receive(ctx, nil); return err }},
	{"Read", func(c *shmwire.Conn, _ context.Context) error { _, err := c.Read(make([]byte, 1)); return err }},
	{"Read of nothing", func(c *shmwire.Conn, _ context.Context) error { _, err := c.Read(nil); return err }},
	{"Next", func(c *shmwire.Conn, ctx context.Context) error {
		r, err := c.Next(ctx)
		if err == nil {
			r.Release()
		}
		return err
	}},
	{"Messages", func(c *shmwire.Conn, ctx context.Context) error {
		for _, err := range c.Messages(ctx) {
			return err
		}
		return io.EOF
	}},
	{"SetDeadline", func(c *shmwire.Conn, _ context.Context) error { return c.SetDeadline(time.Time{}) }},
	{"CloseWrite", func(c *shmwire.Conn, _ context.Context) error { return c.CloseWrite() }},
	{"Close", func(c *shmwire.Conn, _ context.Context) error { return c.Close() }},
}

// situations are made on a fresh connection; b is the other end.
var situations = []struct {
	name string
	make func(t *testing.T, a, b *shmwire.Conn) context.Context
}{
	{"we closed", func(t *testing.T, a, b *shmwire.Conn) context.Context { a.Close(); return bg }},
	{"we closed, with messages unread", func(t *testing.T, a, b *shmwire.Conn) context.Context {
		mustSend(t, b, "x")
		a.Close()
		return bg
	}},
	{"we closed writing", func(t *testing.T, a, b *shmwire.Conn) context.Context {
		mustSend(t, b, "x")
		require.NoError(t, a.CloseWrite())
		return bg
	}},
	{"the peer closed", func(t *testing.T, a, b *shmwire.Conn) context.Context {
		b.Close()
		known(t, a)
		return bg
	}},
	{"the peer closed with messages unread", func(t *testing.T, a, b *shmwire.Conn) context.Context {
		mustSend(t, a, "x")
		b.Close()
		known(t, a)
		return bg
	}},
	{"the peer closed writing", func(t *testing.T, a, b *shmwire.Conn) context.Context {
		require.NoError(t, b.CloseWrite())
		return bg
	}},
	{"both closed writing", func(t *testing.T, a, b *shmwire.Conn) context.Context {
		require.NoError(t, a.CloseWrite())
		require.NoError(t, b.CloseWrite())
		return bg
	}},
	{"both closed writing, the peer closed", func(t *testing.T, a, b *shmwire.Conn) context.Context {
		require.NoError(t, a.CloseWrite())
		require.NoError(t, b.CloseWrite())
		b.Close()
		return bg
	}},
	{"the deadline passed", func(t *testing.T, a, b *shmwire.Conn) context.Context {
		mustSend(t, b, "x")
		require.NoError(t, a.SetDeadline(time.Unix(1, 0)))
		return bg
	}},
	{"the deadline passed, the peer closed", func(t *testing.T, a, b *shmwire.Conn) context.Context {
		b.Close()
		known(t, a)
		require.NoError(t, a.SetDeadline(time.Unix(1, 0)))
		return bg
	}},
	{"the context ended", func(t *testing.T, a, b *shmwire.Conn) context.Context {
		mustSend(t, b, "x")
		ctx, cancel := context.WithCancel(bg)
		cancel()
		return ctx
	}},
	{"the context's deadline passed", func(t *testing.T, a, b *shmwire.Conn) context.Context {
		mustSend(t, b, "x")
		ctx, cancel := context.WithDeadline(bg, time.Unix(1, 0))
		cancel()
		return ctx
	}},
	{"context ended, we closed", func(t *testing.T, a, b *shmwire.Conn) context.Context {
		ctx, cancel := context.WithCancel(bg)
		cancel()
		a.Close()
		return ctx
	}},
}

// known waits until a's sender knows that the peer is gone.
func known(t *testing.T, a *shmwire.Conn) {
	t.Helper()
	shmtest.Eventually(t, "sending fails", func() bool { return a.Send(bg, nil) != nil })
}

// TestBothTransportsGiveTheSameErrors: in every situation every call gives errors that are the same on both.
func TestBothTransportsGiveTheSameErrors(t *testing.T) {
	shmtest.Watchdog(t, time.Minute)
	shm, socket := kindNamed("shm"), kindNamed("socket")
	for _, s := range situations {
		for _, c := range calls {
			t.Run(s.name+"/"+c.name, func(t *testing.T) {
				of := func(k kind) []string {
					a, b := mustPair(t, &k.cfg)
					ctx := s.make(t, a, b)
					err := c.call(a, ctx)
					got := identities(err)
					a.Close()
					b.Close()
					return append(got, fmt.Sprint(err == io.EOF))
				}
				got := of(shm)
				assert.Equal(t, got, of(socket), "shm (expected) and socket")
			})
		}
	}
}

// TestBothTransportsGiveTheSameErrorsAfterDeath is the same for a peer that was killed.
func TestBothTransportsGiveTheSameErrorsAfterDeath(t *testing.T) {
	shmtest.Watchdog(t, time.Minute)
	for _, c := range calls {
		t.Run(c.name, func(t *testing.T) {
			of := func(name string) []string {
				k := kindNamed(name)
				conn, child := withChild(t, &k.cfg, "inherit")
				child.Line()
				child.Kill()
				known(t, conn)
				err := c.call(conn, bg)
				return append(identities(err), fmt.Sprint(err == io.EOF))
			}
			got := of("shm")
			assert.Equal(t, got, of("socket"))
		})
	}
}
