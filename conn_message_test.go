package shmwire_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/shmwire/shmwire"
	"github.com/shmwire/shmwire/internal/shmtest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var bg = context.Background()

// methods lists the method names of v's type.
func methods(v any) (names []string) {
	for m := range reflect.TypeOf(v).Methods() {
		names = append(names, m.Name)
	}
	return names
}

func TestMessagesKeepTheirBoundaries(t *testing.T) {
	onEachKind(t, func(t *testing.T, a, b *shmwire.Conn) {
		want := []string{"one", "", "three", string(make([]byte, a.MaxMessage()/4))}
		mustSend(t, a, want...)
		for _, w := range want {
			assert.Equal(t, w, mustReceive(t, b))
		}
	})
}

func TestReceiveAppendsToTheBuffer(t *testing.T) {
	onEachKind(t, func(t *testing.T, a, b *shmwire.Conn) {
		mustSend(t, a, "hello")
		buf := make([]byte, 3, 64)
		msg, err := b.Receive(bg, buf)
		require.NoError(t, err)
		assert.Equal(t, "hello", string(msg))
		assert.Same(t, &buf[0], &msg[0])
	})
}

func TestStreamAndMessagesMix(t *testing.T) {
	onEachKind(t, func(t *testing.T, a, b *shmwire.Conn) {
		mustSend(t, a, "abcdef", "", "ghi", "", "jkl")
		part := make([]byte, 2)
		n, err := b.Read(part)
		require.NoError(t, err)
		assert.Equal(t, "ab", string(part[:n]))
		n, err = b.Read(part)
		require.NoError(t, err)
		assert.Equal(t, "cd", string(part[:n]), "Read goes on inside a message")
		assert.Equal(t, "ef", mustReceive(t, b), "Receive returns the rest")
		assert.Equal(t, "", mustReceive(t, b), "an empty message is received")
		_, err = io.ReadFull(b, make([]byte, 6))
		require.NoError(t, err, "Read skips the empty message between ghi and jkl")
		n, err = b.Read(nil)
		assert.Equal(t, result{}, result{n, err}, "an empty Read does not wait")
	})
}

func TestNextAfterPartialReadGivesTheRest(t *testing.T) {
	onEachKind(t, func(t *testing.T, a, b *shmwire.Conn) {
		mustSend(t, a, "abcdef")
		_, err := io.ReadFull(b, make([]byte, 4))
		require.NoError(t, err)
		r, err := b.Next(bg)
		require.NoError(t, err)
		assert.Equal(t, "ef", string(r.Bytes()))
		r.Release()
		mustSend(t, a, "next")
		assert.Equal(t, "next", mustReceive(t, b))
	})
}

func TestBatchLongerThanTheRing(t *testing.T) {
	onEachKind(t, func(t *testing.T, a, b *shmwire.Conn) {
		const count = 20000
		msgs := make([][]byte, count)
		for i := range msgs {
			msgs[i] = fmt.Append(nil, "message ", i)
		}
		sent := inBackground(func() (int, error) { return a.SendBatch(bg, msgs) })
		for i := range count {
			if got := mustReceive(t, b); got != string(msgs[i]) {
				t.Fatalf("message %d: got %q", i, got)
			}
		}
		assert.Equal(t, result{n: count}, <-sent)
	})
}

func TestClaim(t *testing.T) {
	onEachKind(t, func(t *testing.T, a, b *shmwire.Conn) {
		cl, err := a.Claim(bg, 5)
		require.NoError(t, err)
		require.Len(t, cl.Bytes(), 5)
		copy(cl.Bytes(), "wrong")
		cl.Abort()

		cl, err = a.Claim(bg, 5)
		require.NoError(t, err)
		copy(cl.Bytes(), "right")
		other := inBackground(func() (int, error) { return 0, a.Send(bg, []byte("after")) })
		shmtest.StillBlocked(t, other, "a sender beside an open claim")
		require.NoError(t, cl.Commit())
		assert.NoError(t, shmtest.Soon(t, other, "the sender after Commit").err)

		assert.Equal(t, "right", mustReceive(t, b))
		assert.Equal(t, "after", mustReceive(t, b))
		assert.Panics(t, func() { _ = cl.Commit() }, "second Commit")
		assert.Panics(t, cl.Abort, "Abort after Commit")
		assert.Panics(t, func() { _, _ = a.Claim(bg, -1) }, "negative claim")
	})
}

func TestNextAndMessages(t *testing.T) {
	onEachKind(t, func(t *testing.T, a, b *shmwire.Conn) {
		mustSend(t, a, "a", "b", "c", "d", "e")
		r, err := b.Next(bg)
		require.NoError(t, err)
		assert.Equal(t, "a", string(r.Bytes()))
		r.Release()
		assert.Panics(t, r.Release, "second Release")

		for msg, err := range b.Messages(bg) {
			require.NoError(t, err)
			assert.Equal(t, "b", string(msg))
			break
		}
		assert.Equal(t, "c", mustReceive(t, b), "a message that the loop was broken at is used up")
		require.NoError(t, a.CloseWrite())
		var rest string
		for msg, err := range b.Messages(bg) {
			require.NoError(t, err)
			rest += string(msg)
		}
		assert.Equal(t, "de", rest, "the end of the messages ends the loop without an error")
	})
}

func TestTooLarge(t *testing.T) {
	onEachKind(t, func(t *testing.T, a, b *shmwire.Conn) {
		big := make([]byte, a.MaxMessage()+1)
		for name, send := range map[string]func() error{
			"Send":      func() error { return a.Send(bg, big) },
			"SendBatch": func() error { _, err := a.SendBatch(bg, [][]byte{{1}, big}); return err },
			"Claim":     func() error { _, err := a.Claim(bg, len(big)); return err },
		} {
			err := send()
			assert.ErrorIs(t, err, shmwire.ErrTooLarge, name)
			assert.ErrorContains(t, err, fmt.Sprint(len(big)), name)
			assert.ErrorContains(t, err, fmt.Sprint(a.MaxMessage()), name)
		}
		sent := inBackground(func() (int, error) { return 0, a.Send(bg, big[1:]) })
		assert.Len(t, mustReceive(t, b), a.MaxMessage(), "nothing came before, and the limit itself fits")
		assert.NoError(t, (<-sent).err)
	})
}

func TestBothTransportsHaveTheSameLimit(t *testing.T) {
	for _, ring := range []int{4096, 256 << 10, 1 << 20} {
		shm, _ := mustPair(t, &shmwire.Config{RingBytes: ring})
		socket, _ := mustPair(t, &shmwire.Config{RingBytes: ring, SocketOnly: true})
		assert.Equal(t, ring/2, shm.MaxMessage())
		assert.Equal(t, ring/2, socket.MaxMessage())
	}
}

func TestCloseWrite(t *testing.T) {
	onEachKind(t, func(t *testing.T, a, b *shmwire.Conn) {
		mustSend(t, a, "last")
		require.NoError(t, a.CloseWrite())
		assert.ErrorIs(t, a.Send(bg, nil), io.ErrClosedPipe)
		assert.ErrorIs(t, a.CloseWrite(), io.ErrClosedPipe)
		assert.Equal(t, "last", mustReceive(t, b), "what was sent before comes first")
		for range 3 {
			_, err := b.Receive(bg, nil)
			assert.Equal(t, io.EOF, err)
			_, err = b.Read(make([]byte, 1))
			assert.Equal(t, io.EOF, err)
		}
		mustSend(t, b, "answer")
		assert.Equal(t, "answer", mustReceive(t, a), "the other direction goes on")
	})
}

func TestCloseWriteWakesAReceiver(t *testing.T) {
	onEachKind(t, func(t *testing.T, a, b *shmwire.Conn) {
		received := inBackground(func() (int, error) { return b.Read(make([]byte, 1)) })
		shmtest.StillBlocked(t, received, "a receiver without a message")
		require.NoError(t, a.CloseWrite())
		assert.Equal(t, result{0, io.EOF}, shmtest.Soon(t, received, "the receiver"))
	})
}

func TestCloseByThePeer(t *testing.T) {
	onEachKind(t, func(t *testing.T, a, b *shmwire.Conn) {
		mustSend(t, a, "one", "two")
		mustSend(t, b, "never read")
		require.NoError(t, a.Close())
		assert.Equal(t, "one", mustReceive(t, b))
		assert.Equal(t, "two", mustReceive(t, b))
		_, err := b.Receive(bg, nil)
		assert.Equal(t, io.EOF, err)
		shmtest.Eventually(t, "sending fails", func() bool { return b.Send(bg, []byte("x")) != nil })
		err = b.Send(bg, []byte("x"))
		assert.ErrorIs(t, err, io.ErrClosedPipe)
		assert.NotErrorIs(t, err, shmwire.ErrPeerDied)
	})
}

func TestCloseByThePeerIsKnownToASenderFirst(t *testing.T) {
	onEachKind(t, func(t *testing.T, a, b *shmwire.Conn) {
		mustSend(t, a, "one", "two")
		require.NoError(t, a.Close())
		shmtest.Eventually(t, "sending fails", func() bool { return b.Send(bg, []byte("x")) != nil })
		assert.ErrorIs(t, b.Send(bg, []byte("x")), io.ErrClosedPipe)
		assert.Equal(t, "one", mustReceive(t, b), "what was received but not read is still there")
		assert.Equal(t, "two", mustReceive(t, b))
		_, err := b.Receive(bg, nil)
		assert.Equal(t, io.EOF, err)
	})
}

func TestCloseWakesEverybody(t *testing.T) {
	onEachKind(t, func(t *testing.T, a, b *shmwire.Conn) {
		var waits []<-chan result
		for range 2 { // one in the transport, one waiting for its turn
			waits = append(waits,
				inBackground(func() (int, error) { return a.Read(make([]byte, 1)) }),
				inBackground(func() (int, error) { return a.Write(make([]byte, 64<<20)) }))
		}
		for _, w := range waits {
			shmtest.StillBlocked(t, w, "a call on an idle connection")
		}
		require.NoError(t, a.Close())
		for _, w := range waits {
			assert.ErrorIs(t, shmtest.Soon(t, w, "the call after Close").err, net.ErrClosed)
		}
		assert.ErrorIs(t, a.Close(), net.ErrClosed)
		assert.ErrorIs(t, a.SetDeadline(time.Time{}), net.ErrClosed)
		_, err := a.Receive(bg, nil)
		assert.ErrorIs(t, err, net.ErrClosed)
		var op *net.OpError
		assert.ErrorAs(t, err, &op)
		assert.Zero(t, a.Stats())
	})
}

func TestViewsAndClaimsOutliveClose(t *testing.T) {
	onEachKind(t, func(t *testing.T, a, b *shmwire.Conn) {
		mustSend(t, b, "still here")
		r, err := a.Next(bg)
		require.NoError(t, err)
		cl, err := a.Claim(bg, 4)
		require.NoError(t, err)
		require.NoError(t, a.Close())
		assert.Equal(t, "still here", string(r.Bytes()))
		copy(cl.Bytes(), "lost")
		assert.ErrorIs(t, cl.Commit(), net.ErrClosed)
		r.Release()
		_, err = b.Receive(bg, nil)
		assert.Equal(t, io.EOF, err, "the claim was not sent")
	})
}

func TestContexts(t *testing.T) {
	onEachKind(t, func(t *testing.T, a, b *shmwire.Conn) {
		ended, end := context.WithCancel(bg)
		end()
		assert.Equal(t, context.Canceled, a.Send(ended, []byte("x")))
		_, err := a.Receive(ended, nil)
		assert.Equal(t, context.Canceled, err)

		ctx, cancel := context.WithCancel(bg)
		received := inBackground(func() (int, error) { _, err := a.Receive(ctx, nil); return 0, err })
		queued := inBackground(func() (int, error) { _, err := a.Receive(ctx, nil); return 0, err })
		sent := inBackground(func() (int, error) { return fill(a, ctx) })
		shmtest.StillBlocked(t, received, "a receiver")
		shmtest.StillBlocked(t, queued, "a second receiver")
		shmtest.StillBlocked(t, sent, "a sender without room")
		cancel()
		assert.Equal(t, context.Canceled, shmtest.Soon(t, received, "the receiver").err)
		assert.Equal(t, context.Canceled, shmtest.Soon(t, queued, "the second receiver").err)
		stopped := shmtest.Soon(t, sent, "the sender")
		assert.Equal(t, context.Canceled, stopped.err)

		closed := inBackground(func() (int, error) { return 0, a.CloseWrite() })
		count := 0
		for _, err := range b.Messages(bg) {
			require.NoError(t, err)
			count++
		}
		assert.NoError(t, (<-closed).err)
		assert.Equal(t, stopped.n, count, "exactly the messages whose Send returned nil arrive")
	})
}

// fill sends until it is stopped and returns how many messages were sent.
func fill(c *shmwire.Conn, ctx context.Context) (n int, err error) {
	msg := make([]byte, c.MaxMessage()/3)
	for {
		if err := c.Send(ctx, msg); err != nil {
			return n, err
		}
		n++
	}
}

func TestDeadlines(t *testing.T) {
	onEachKind(t, func(t *testing.T, a, b *shmwire.Conn) {
		mustSend(t, b, "there already")
		require.NoError(t, a.SetReadDeadline(time.Now().Add(-time.Second)))
		_, err := a.Receive(bg, nil)
		assert.ErrorIs(t, err, os.ErrDeadlineExceeded, "an expired deadline wins over a message")
		var timeout net.Error
		require.ErrorAs(t, err, &timeout)
		assert.True(t, timeout.Timeout())
		require.NoError(t, a.SetReadDeadline(time.Time{}))
		assert.Equal(t, "there already", mustReceive(t, a))

		received := inBackground(func() (int, error) { return a.Read(make([]byte, 1)) })
		queued := inBackground(func() (int, error) { return a.Read(make([]byte, 1)) })
		sent := inBackground(func() (int, error) { return fill(a, bg) })
		shmtest.StillBlocked(t, received, "a receiver")
		shmtest.StillBlocked(t, queued, "a second receiver")
		shmtest.StillBlocked(t, sent, "a sender without room")
		require.NoError(t, a.SetDeadline(time.Now().Add(20*time.Millisecond)))
		assert.ErrorIs(t, shmtest.Soon(t, received, "the receiver").err, os.ErrDeadlineExceeded)
		assert.ErrorIs(t, shmtest.Soon(t, queued, "the second receiver").err, os.ErrDeadlineExceeded)
		assert.ErrorIs(t, shmtest.Soon(t, sent, "the sender").err, os.ErrDeadlineExceeded)

		require.NoError(t, a.SetDeadline(time.Time{}))
		mustSend(t, b, "goes on")
		assert.Equal(t, "goes on", mustReceive(t, a))
	})
}

func TestSendersTakeTurns(t *testing.T) {
	onEachKind(t, func(t *testing.T, a, b *shmwire.Conn) {
		const senders, each = 4, 500
		var wg sync.WaitGroup
		for s := range senders {
			wg.Go(func() {
				for i := range each {
					if err := a.Send(bg, fmt.Append(nil, s, " ", i)); err != nil {
						t.Errorf("sender %d: %v", s, err)
						return
					}
				}
			})
		}
		next := make([]int, senders)
		for range senders * each {
			var s, i int
			_, err := fmt.Sscan(mustReceive(t, b), &s, &i)
			require.NoError(t, err)
			require.Equal(t, next[s], i, "order of sender %d", s)
			next[s]++
		}
		wg.Wait()
	})
}

func TestStats(t *testing.T) {
	onEachKind(t, func(t *testing.T, a, b *shmwire.Conn) {
		mustSend(t, a, "12345", "", "678")
		for range 3 {
			mustReceive(t, b)
		}
		sa, sb := a.Stats(), b.Stats()
		assert.Equal(t, uint64(3), sa.Sent.Messages)
		assert.Equal(t, uint64(8), sa.Sent.Bytes)
		assert.Equal(t, uint64(3), sb.Received.Messages)
		assert.Equal(t, uint64(8), sb.Received.Bytes)
		received := inBackground(func() (int, error) { return b.Read(make([]byte, 9)) })
		shmtest.StillBlocked(t, received, "a receiver")
		assert.Equal(t, uint64(3), b.Stats().Received.Messages, "also while a call waits")
		mustSend(t, a, "9")
		assert.Equal(t, result{n: 1}, shmtest.Soon(t, received, "the receiver"))
	})
}

func TestPeerOfAPairIsThisProcess(t *testing.T) {
	onEachKind(t, func(t *testing.T, a, b *shmwire.Conn) {
		me := shmwire.Peer{PID: os.Getpid(), UID: os.Geteuid(), GID: os.Getegid()}
		assert.Equal(t, me, a.Peer())
		assert.Equal(t, me, b.Peer())
	})
}

func TestSpinningEndsNeverPark(t *testing.T) {
	a, b := mustPair(t, &shmwire.Config{Wait: shmwire.WaitSpin})
	done := inBackground(func() (int, error) {
		for {
			msg, err := b.Receive(bg, nil)
			if err != nil {
				return 0, err
			}
			if err := b.Send(bg, msg); err != nil {
				return 0, err
			}
		}
	})
	for i := range 1000 {
		mustSend(t, a, fmt.Sprint(i))
		require.Equal(t, fmt.Sprint(i), mustReceive(t, a))
	}
	s := a.Stats()
	assert.Zero(t, s.Sent.Parks+s.Sent.Rings+s.Received.Parks)
	require.NoError(t, a.Close())
	assert.Equal(t, io.EOF, shmtest.Soon(t, done, "the echo").err)
}

func TestConfigErrors(t *testing.T) {
	tests := []struct {
		field string
		cfg   shmwire.Config
	}{
		{"RingBytes", shmwire.Config{RingBytes: 5000}},
		{"RingBytes", shmwire.Config{RingBytes: 1024}},
		{"RingBytes", shmwire.Config{RingBytes: -4096}},
		{"SlotBytes", shmwire.Config{SlotBytes: 8}},
		{"SlotBytes", shmwire.Config{SlotBytes: 48}},
		{"SlotBytes", shmwire.Config{RingBytes: 4096, SlotBytes: 4096}},
		{"MaxRingBytes", shmwire.Config{MaxRingBytes: 4096}},
		{"MaxBytes", shmwire.Config{MaxBytes: -1}},
		{"MaxBytesPerUser", shmwire.Config{MaxBytesPerUser: -1}},
		{"MaxPending", shmwire.Config{MaxPending: -1}},
		{"HandshakeTimeout", shmwire.Config{HandshakeTimeout: -1}},
		{"Wait", shmwire.Config{Wait: 9}},
	}
	for _, tt := range tests {
		t.Run(tt.field, func(t *testing.T) {
			_, _, err := shmwire.Pair(&tt.cfg)
			assert.ErrorContains(t, err, "config: "+tt.field)
			_, err = shmwire.Listen(shmtest.SocketPath(t), &tt.cfg)
			assert.ErrorContains(t, err, "config: "+tt.field)
			_, err = shmwire.Dial(bg, shmtest.SocketPath(t), &tt.cfg)
			assert.ErrorContains(t, err, "config: "+tt.field)
		})
	}
}

func TestErrPeerDiedIsAnUnexpectedEOF(t *testing.T) {
	assert.True(t, errors.Is(shmwire.ErrPeerDied, io.ErrUnexpectedEOF))
	assert.False(t, errors.Is(shmwire.ErrPeerDied, io.EOF))
}
