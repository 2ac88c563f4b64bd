package fallback_test

import (
	"context"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/shmwire/shmwire/fallback"
	"github.com/shmwire/shmwire/internal/shmtest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// large is more than any socket buffer takes, so that sending it waits for the peer.
const large = 2 << 20

// stops are the ways to end a wait of one direction.
func stops() map[string]func(r *reins, interrupt, cancel func()) error {
	return map[string]func(r *reins, interrupt, cancel func()) error{
		"stop": func(r *reins, interrupt, _ func()) error {
			r.halt(errStopped)
			interrupt()
			return errStopped
		},
		// Who stops the calls because the connection was closed must not be taken for a peer that is gone.
		"stop with net.ErrClosed": func(r *reins, interrupt, _ func()) error {
			r.halt(net.ErrClosed)
			interrupt()
			return net.ErrClosed
		},
		"deadline passed": func(r *reins, interrupt, _ func()) error {
			r.in(-time.Second)
			interrupt()
			return os.ErrDeadlineExceeded
		},
		"deadline to come": func(r *reins, interrupt, _ func()) error {
			r.in(20 * time.Millisecond)
			interrupt()
			return os.ErrDeadlineExceeded
		},
		"context": func(_ *reins, _, cancel func()) error {
			cancel()
			return context.Canceled
		},
	}
}

// TestSendStoppedBeforeAFrame: nothing of the message is in the kernel, so it is not sent, now or later.
func TestSendStoppedBeforeAFrame(t *testing.T) {
	for name, stop := range stops() {
		t.Run(name, func(t *testing.T) {
			a, b := links(t, 100)
			n := a.brimful(t)
			require.Positive(t, n)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			sent := a.sendSoon(ctx, []byte("no"))
			shmtest.StillBlocked(t, sent, "sender")
			want := stop(&a.out, a.InterruptSend, cancel)
			assert.ErrorIs(t, shmtest.Soon(t, sent, "sender"), want)

			a.out.goOn()
			a.out.never()
			next := a.sendSoon(t.Context(), []byte("next"))
			for range n {
				require.Equal(t, "brim", b.mustReceive(t))
			}
			assert.Equal(t, "next", b.mustReceive(t))
			require.NoError(t, shmtest.Soon(t, next, "sender"))
		})
	}
}

func TestReceiveStopped(t *testing.T) {
	for name, stop := range stops() {
		t.Run(name, func(t *testing.T) {
			a, b := links(t, 100)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			// Half a frame is there: it must not be lost.
			_, err := a.uc.Write([]byte{fallback.FrameMessage, 4, 0, 0, 0, 'h', 'a'})
			require.NoError(t, err)
			received := async(func() error { _, err := b.receive(ctx); return err })
			shmtest.StillBlocked(t, received, "receiver")
			want := stop(&b.in, b.InterruptReceive, cancel)
			assert.ErrorIs(t, shmtest.Soon(t, received, "receiver"), want)
			b.in.goOn()
			b.in.never()
			again := async(func() string { return b.mustReceiveQuietly(t) })
			_, err = a.uc.Write([]byte("lf"))
			require.NoError(t, err)
			shmtest.StillBlocked(t, again, "receiver without a trailer")
			_, err = a.uc.Write([]byte{1})
			require.NoError(t, err)
			assert.Equal(t, "half", shmtest.Soon(t, again, "receiver"))
		})
	}
}

// TestDeadlineMoves: a deadline that is moved away or taken back during a wait counts from then on.
func TestDeadlineMoves(t *testing.T) {
	a, b := links(t, large)
	b.in.in(250 * time.Millisecond)
	old := b.in.until()
	received := async(func() string { return b.mustReceiveQuietly(t) })
	b.in.never()
	b.InterruptReceive()
	for time.Now().Before(old.Add(time.Millisecond)) {
		shmtest.StillBlocked(t, received, "receiver")
	}
	require.NoError(t, a.Send(t.Context(), []byte("first")))
	assert.Equal(t, "first", shmtest.Soon(t, received, "receiver"))

	a.out.in(time.Hour)
	sent := a.sendSoon(t.Context(), make([]byte, large))
	a.begun(t)
	shmtest.StillBlocked(t, sent, "sender")
	a.out.never()
	a.InterruptSend()
	shmtest.StillBlocked(t, sent, "sender")
	assert.Len(t, b.mustReceive(t), large)
	require.NoError(t, shmtest.Soon(t, sent, "sender"))
}

// mustReceiveQuietly is for goroutines other than the test's: it says what went wrong in place of the message.
func (e *end) mustReceiveQuietly(t *testing.T) string {
	msg, err := e.receive(t.Context())
	if err != nil {
		return "error: " + err.Error()
	}
	return msg
}

// TestInterruptBetweenQuestionAndWait moves the deadline at the worst moment: after the link was told the old one and
// before it waits.
func TestInterruptBetweenQuestionAndWait(t *testing.T) {
	for name, old := range map[string]time.Time{
		"the old one stands already": {},
		"the old one is new":         time.Now().Add(time.Hour),
	} {
		t.Run(name, func(t *testing.T) {
			ua, _ := pair(t)
			var l *fallback.Link
			asked := 0
			l = fallback.NewLink(ua, fallback.LinkConfig{MaxMessage: 100, ReceiveDeadline: func() time.Time {
				asked++
				if asked > 1 {
					return time.Now().Add(-time.Second)
				}
				l.InterruptReceive()
				return old
			}})
			defer l.Close()
			err := shmtest.Soon(t, async(func() error { _, err := l.Next(t.Context()); return err }), "receiver")
			assert.ErrorIs(t, err, os.ErrDeadlineExceeded)
		})
	}
}

// TestDeadlineAlone: a link without stops obeys its deadlines by itself.
func TestDeadlineAlone(t *testing.T) {
	ua, ub := pair(t)
	soon := time.Now().Add(20 * time.Millisecond)
	until := func() time.Time { return soon }
	l := fallback.NewLink(ua, fallback.LinkConfig{MaxMessage: large, SendDeadline: until, ReceiveDeadline: until})
	err := shmtest.Soon(t, async(func() error { _, err := l.Next(t.Context()); return err }), "receiver")
	assert.ErrorIs(t, err, os.ErrDeadlineExceeded)
	msg := pattern(1, 1<<20)
	soon = time.Now().Add(300 * time.Millisecond)
	send := func() error { return l.Send(t.Context(), msg) }
	assert.ErrorIs(t, shmtest.Soon(t, async(send), "sender"), os.ErrDeadlineExceeded, "stopped inside the frame")
	assert.ErrorIs(t, shmtest.Soon(t, async(send), "sender behind the frame"), os.ErrDeadlineExceeded)
	mustFrame(t, ub, msg, 0)
	require.NoError(t, l.Close())
	rest, err := io.ReadAll(ub)
	require.NoError(t, err)
	assert.Equal(t, []byte{fallback.FrameEnd, 0, 0, 0, 0}, rest)
}

// TestDeadlineAfterAFinishedFrame: the goroutine that finishes a frame moves the socket's deadline; later senders have
// theirs all the same.
func TestDeadlineAfterAFinishedFrame(t *testing.T) {
	const size = 1 << 20
	a, b := links(t, size)
	a.out.in(400 * time.Millisecond)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	first := a.sendSoon(ctx, pattern(1, size))
	a.begun(t)
	shmtest.StillBlocked(t, first, "sender")
	cancel()
	require.ErrorIs(t, shmtest.Soon(t, first, "sender"), context.Canceled)
	mustFrame(t, b.uc, pattern(1, size), 0)
	// Nobody reads, so its deadline ends it: inside the frame, or before it if this machine is very slow.
	err := shmtest.Soon(t, a.sendSoon(t.Context(), pattern(2, size)), "sender after a finished frame")
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	a.out.never()
	next := a.sendSoon(t.Context(), []byte("next"))
	assert.Equal(t, "next", b.mustReceive(t))
	require.NoError(t, shmtest.Soon(t, next, "sender"))
}

func TestEndedContext(t *testing.T) {
	a, b := links(t, 100)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, a.Send(ctx, []byte("x")), context.Canceled)
	n, err := a.SendBatch(ctx, [][]byte{{1}, {2}})
	require.ErrorIs(t, err, context.Canceled)
	require.Zero(t, n)
	_, err = a.Claim(ctx, 1)
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorIs(t, a.CloseWrite(ctx), context.Canceled)
	_, err = b.Next(ctx)
	require.ErrorIs(t, err, context.Canceled)

	require.NoError(t, a.Send(t.Context(), []byte("sound")))
	msg, err := b.receive(t.Context())
	require.NoError(t, err)
	assert.Equal(t, "sound", msg)
	// What has been received needs no waiting, so no context either.
	_, err = a.SendBatch(t.Context(), [][]byte{{1}, {2}})
	require.NoError(t, err)
	_, err = b.receive(t.Context())
	require.NoError(t, err)
	_, err = b.receive(ctx)
	assert.NoError(t, err)
}

// TestCloseLingers: what was sent and the goodbye reach a peer that reads later, though Close has returned.
func TestCloseLingers(t *testing.T) {
	t.Run("behind a half-sent frame", func(t *testing.T) {
		a, b := links(t, large)
		require.NoError(t, a.Send(t.Context(), []byte("promised")))
		a.sendCut(t, pattern(1, large))
		a.shut(t)
		assert.Equal(t, "promised", b.mustReceive(t))
		b.mustEnd(t, io.EOF)
	})
	t.Run("behind whole frames", func(t *testing.T) {
		a, b := links(t, 100)
		n := a.brimful(t)
		a.shut(t)
		for range n {
			require.Equal(t, "brim", b.mustReceive(t))
		}
		b.mustEnd(t, io.EOF)
	})
	t.Run("until the peer is gone", func(t *testing.T) {
		a, b := links(t, large)
		a.sendCut(t, pattern(1, large))
		a.shut(t)
		b.die(t) // TestMain sees whether the goroutine ends
	})
}

// TestCloseLingersNoLongerThanItSays closes at any moment of a frame being finished, to peers that do not read: the
// goroutine that finishes it must learn each time that its time is limited now.
func TestCloseLingersNoLongerThanItSays(t *testing.T) {
	t.Parallel() // it waits for the five seconds
	var ends []*end
	for range 30 {
		a, _ := links(t, 1<<20)
		a.sendCut(t, make([]byte, 1<<20))
		a.shut(t)
		ends = append(ends, a)
	}
	for _, e := range ends {
		rc, err := e.uc.SyscallConn()
		require.NoError(t, err)
		shmtest.Eventually(t, "socket of a lingering link closed", func() bool {
			return rc.Control(func(uintptr) {}) != nil
		})
	}
}

func TestCloseReleasesTheReceiver(t *testing.T) {
	a, b := links(t, 100)
	require.NoError(t, b.Send(t.Context(), []byte("unread")))
	a.shut(t)
	b.mustEnd(t, io.EOF)
	_, err := a.uc.Write([]byte("x"))
	assert.ErrorIs(t, err, net.ErrClosed)
}
