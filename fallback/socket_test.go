package fallback_test

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shmwire/shmwire/fallback"
	"github.com/shmwire/shmwire/internal/shmtest"
	"github.com/shmwire/shmwire/internal/sys"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// pair returns two connected sockets, closed when the test ends.
func pair(t testing.TB) (a, b *net.UnixConn) {
	t.Helper()
	a, b, err := sys.Socketpair()
	require.NoError(t, err)
	t.Cleanup(func() { _, _ = a.Close(), b.Close() })
	return a, b
}

// async runs f in a goroutine of its own and returns where its result arrives.
func async[T any](f func() T) <-chan T {
	ch := make(chan T, 1)
	go func() { ch <- f() }()
	return ch
}

var errStopped = errors.New("stopped by the test")

// reins are what stands above one direction of a link: why and until when its calls may wait.
type reins struct {
	stop     atomic.Pointer[error]
	deadline atomic.Pointer[time.Time]
}

func (r *reins) stopped() error {
	if err := r.stop.Load(); err != nil {
		return *err
	}
	if d := r.deadline.Load(); d != nil && !d.IsZero() && !time.Now().Before(*d) {
		return os.ErrDeadlineExceeded
	}
	return nil
}

func (r *reins) until() time.Time {
	if d := r.deadline.Load(); d != nil {
		return *d
	}
	return time.Time{}
}

func (r *reins) halt(err error) { r.stop.Store(&err) }
func (r *reins) goOn()          { r.stop.Store(nil) }

func (r *reins) in(d time.Duration) {
	at := time.Now().Add(d)
	r.deadline.Store(&at)
}

func (r *reins) never() { r.deadline.Store(&time.Time{}) }

// end is a link with its reins and its socket. It is closed when the test ends, if the test does not.
type end struct {
	*fallback.Link
	uc      *net.UnixConn
	peer    *end // set by links
	out, in reins
	once    sync.Once
}

func newEnd(t testing.TB, uc *net.UnixConn, maxMessage int) *end {
	e := &end{uc: uc}
	e.Link = fallback.NewLink(uc, fallback.LinkConfig{
		MaxMessage: maxMessage,
		SendStop:   e.out.stopped, ReceiveStop: e.in.stopped,
		SendDeadline: e.out.until, ReceiveDeadline: e.in.until,
	})
	t.Cleanup(func() { e.shut(t) })
	return e
}

func (e *end) shut(t testing.TB) {
	e.once.Do(func() { assert.NoError(t, e.Close()) })
}

// die ends the link as a crash would: without a word.
func (e *end) die(t testing.TB) {
	e.once.Do(func() { assert.NoError(t, e.uc.Close()) })
}

func links(t testing.TB, maxMessage int) (a, b *end) {
	t.Helper()
	ua, ub := pair(t)
	a, b = newEnd(t, ua, maxMessage), newEnd(t, ub, maxMessage)
	a.peer, b.peer = b, a
	return a, b
}

// receive returns the next message, copied.
func (e *end) receive(ctx context.Context) (string, error) {
	view, err := e.Next(ctx)
	if err != nil {
		return "", err
	}
	defer e.Release()
	return string(view), nil
}

// mustReceive fails the test unless a message arrives soon.
func (e *end) mustReceive(t testing.TB) string {
	t.Helper()
	type got struct {
		msg string
		err error
	}
	g := shmtest.Soon(t, async(func() got {
		msg, err := e.receive(t.Context())
		return got{msg, err}
	}), "message")
	require.NoError(t, g.err)
	return g.msg
}

// mustEnd fails the test unless the next thing that e receives, soon, is the error want.
func (e *end) mustEnd(t testing.TB, want error) {
	t.Helper()
	err := shmtest.Soon(t, async(func() error {
		_, err := e.receive(t.Context())
		return err
	}), "end of the link")
	require.ErrorIs(t, err, want)
}

// sendSoon starts a Send and returns where its result arrives.
func (e *end) sendSoon(ctx context.Context, msg []byte) <-chan error {
	return async(func() error { return e.Send(ctx, msg) })
}

// begun waits until so much has been sent that it is part of a large message. Where sockets cannot be looked into, that
// the sender is still blocked must do.
func (e *end) begun(t testing.TB) {
	t.Helper()
	if !sys.CanPassFDs {
		return
	}
	sock, err := sys.NewSocket(e.peer.uc)
	require.NoError(t, err)
	buf := make([]byte, 32<<10)
	shmtest.Eventually(t, "the beginning of a message", func() bool {
		r, err := sock.RecvMsg(buf, true)
		require.NoError(t, err)
		return r.N == len(buf)
	})
}

// sendCut sends msg, which is larger than the socket, and stops in the middle of it: a goroutine takes it back.
func (e *end) sendCut(t testing.TB, msg []byte) {
	t.Helper()
	sent := e.sendSoon(t.Context(), msg)
	e.begun(t)
	shmtest.StillBlocked(t, sent, "sender")
	e.out.halt(errStopped)
	e.InterruptSend()
	require.ErrorIs(t, shmtest.Soon(t, sent, "sender"), errStopped)
	e.out.goOn()
}

// brimful sends small messages until the next one does not fit, and returns how many there were.
func (e *end) brimful(t testing.TB) (n int) {
	t.Helper()
	defer e.out.never()
	for late := 0; late < 3; { // a slow machine may miss a deadline for other reasons
		e.out.in(20 * time.Millisecond)
		if err := e.Send(t.Context(), []byte("brim")); err != nil {
			require.ErrorIs(t, err, os.ErrDeadlineExceeded)
			late++
			continue
		}
		n, late = n+1, 0
	}
	return n
}
