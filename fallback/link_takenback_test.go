package fallback_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/shmwire/shmwire/fallback"
	"github.com/shmwire/shmwire/internal/shmtest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// frameOf returns the bytes of a message on the wire.
func frameOf(msg string, trailer byte) []byte {
	b := binary.LittleEndian.AppendUint32([]byte{fallback.FrameMessage}, uint32(len(msg)))
	return append(append(b, msg...), trailer)
}

// mustFrame reads the frame of msg from uc and fails the test unless it is just that, with that trailer.
func mustFrame(t testing.TB, uc *net.UnixConn, msg []byte, trailer byte) {
	t.Helper()
	want := frameOf(string(msg), trailer)
	got := make([]byte, len(want))
	err := shmtest.Soon(t, async(func() error { _, err := io.ReadFull(uc, got); return err }), "frame")
	require.NoError(t, err)
	require.Equal(t, want[:5], got[:5], "header")
	assert.True(t, slices.Equal(want[5:len(want)-1], got[5:len(got)-1]), "payload")
	assert.Equal(t, trailer, got[len(got)-1], "trailer")
}

// TestLinkOnTheWire: what goes out, to the byte.
func TestLinkOnTheWire(t *testing.T) {
	ua, ub := pair(t)
	a := newEnd(t, ua, 100)
	require.NoError(t, a.Send(t.Context(), []byte("abc")))
	require.NoError(t, a.Send(t.Context(), nil))
	buf, err := a.Claim(t.Context(), 2)
	require.NoError(t, err)
	copy(buf, "de")
	require.NoError(t, a.Commit(t.Context()))
	n, err := a.SendBatch(t.Context(), [][]byte{[]byte("f"), nil, []byte("gh")})
	require.NoError(t, err)
	require.Equal(t, 3, n)
	require.NoError(t, a.CloseWrite(t.Context()))
	a.shut(t)
	got, err := io.ReadAll(ub)
	require.NoError(t, err)
	assert.Equal(t, "\x01\x03\x00\x00\x00abc\x01\x01\x00\x00\x00\x00\x01\x01\x02\x00\x00\x00de\x01"+
		"\x01\x01\x00\x00\x00f\x01\x01\x00\x00\x00\x00\x01\x01\x02\x00\x00\x00gh\x01"+
		"\x02\x00\x00\x00\x00\x03\x00\x00\x00\x00", string(got))
}

// TestTakenBackAmongWhole: the receiver sees the whole messages and no sign of the others, however the bytes arrive.
func TestTakenBackAmongWhole(t *testing.T) {
	stream := slices.Concat(
		frameOf("no", 0), frameOf("one", 1), frameOf("", 0), frameOf("no\x01", 0), frameOf("", 1),
		frameOf(string(pattern(0, 100)), 0), frameOf("three\x00", 1), frameOf("no", 0), []byte{fallback.FrameEnd, 0, 0, 0, 0})
	want := []string{"one", "", "three\x00"}

	for _, step := range []int{1, 7, len(stream)} {
		t.Run(fmt.Sprintf("%d bytes at a time", step), func(t *testing.T) {
			ua, ub := pair(t)
			a := newEnd(t, ua, 100)
			written := async(func() error {
				for part := range slices.Chunk(stream, step) {
					if _, err := ub.Write(part); err != nil {
						return err
					}
				}
				return nil
			})
			for _, msg := range want {
				assert.Equal(t, msg, a.mustReceive(t))
			}
			a.mustEnd(t, io.EOF)
			require.NoError(t, shmtest.Soon(t, written, "writer"))
		})
	}
	t.Run("when they are there already", func(t *testing.T) {
		ua, ub := pair(t)
		a := newEnd(t, ua, 100)
		_, err := ub.Write(stream)
		require.NoError(t, err)
		assert.Equal(t, want[0], a.mustReceive(t))
		for _, msg := range want[1:] {
			view, ok := a.Ready()
			require.True(t, ok)
			assert.Equal(t, msg, string(view))
			assert.Equal(t, len(view), cap(view), "a view reaches its trailer")
			a.Release()
		}
		_, ok := a.Ready()
		assert.False(t, ok)
		a.mustEnd(t, io.EOF)
	})
	t.Run("when a sender looks for the end", func(t *testing.T) {
		ua, ub := pair(t)
		a := newEnd(t, ua, 100)
		_, err := ub.Write(stream)
		require.NoError(t, err)
		require.NoError(t, ub.Close())
		assert.ErrorIs(t, a.Send(t.Context(), nil), io.ErrClosedPipe)
		for _, msg := range want {
			assert.Equal(t, msg, a.mustReceive(t))
		}
		a.mustEnd(t, io.EOF)
	})
}

// TestTakenBackEndsNoWait: a receiver that was sent nothing but messages taken back waits on.
func TestTakenBackEndsNoWait(t *testing.T) {
	ua, ub := pair(t)
	a := newEnd(t, ua, 100)
	received := async(func() string { return a.mustReceiveQuietly(t) })
	_, err := ub.Write(slices.Concat(frameOf("no", 0), frameOf("", 0)))
	require.NoError(t, err)
	shmtest.StillBlocked(t, received, "receiver")
	_, err = ub.Write(frameOf("yes", 1))
	require.NoError(t, err)
	assert.Equal(t, "yes", shmtest.Soon(t, received, "receiver"))
}

// TestSendStoppedInsideAFrame: part of the frame is in the kernel, but the call says that it was stopped, so the
// message must not be delivered, now or later.
func TestSendStoppedInsideAFrame(t *testing.T) {
	for name, stop := range stops() {
		t.Run(name, func(t *testing.T) {
			a, b := links(t, large)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			sent := a.sendSoon(ctx, pattern(1, large))
			a.begun(t)
			shmtest.StillBlocked(t, sent, "sender")
			want := stop(&a.out, a.InterruptSend, cancel)
			assert.ErrorIs(t, shmtest.Soon(t, sent, "sender"), want)

			// As long as the reason holds, nothing else is sent.
			assert.ErrorIs(t, shmtest.Soon(t, a.sendSoon(ctx, []byte("no")), "next sender"), want)

			a.out.goOn()
			a.out.never()
			next := a.sendSoon(t.Context(), []byte("next"))
			shmtest.StillBlocked(t, next, "a sender behind the frame")
			assert.Equal(t, "next", b.mustReceive(t))
			require.NoError(t, shmtest.Soon(t, next, "a sender behind the frame"))
			require.NoError(t, a.CloseWrite(t.Context()))
			b.mustEnd(t, io.EOF)
		})
	}
}

// TestCommitStoppedInsideAFrame: what was claimed is taken back like what was sent, and is not there to commit again.
func TestCommitStoppedInsideAFrame(t *testing.T) {
	a, b := links(t, large)
	buf, err := a.Claim(t.Context(), large)
	require.NoError(t, err)
	copy(buf, pattern(1, large))
	sent := async(func() error { return a.Commit(t.Context()) })
	a.begun(t)
	shmtest.StillBlocked(t, sent, "sender")
	a.out.halt(errStopped)
	a.InterruptSend()
	assert.ErrorIs(t, shmtest.Soon(t, sent, "sender"), errStopped)
	assert.PanicsWithValue(t, "fallback: Commit without a claim", func() { _ = a.Commit(t.Context()) })
	mustFrame(t, b.uc, pattern(1, large), 0)
	a.out.goOn()
	require.NoError(t, a.Send(t.Context(), []byte("next")))
	assert.Equal(t, "next", b.mustReceive(t))
}

// TestSendStoppedBehindAFrame: the sender waits for the rest of a frame that another call began.
func TestSendStoppedBehindAFrame(t *testing.T) {
	for name, stop := range stops() {
		t.Run(name, func(t *testing.T) {
			a, b := links(t, large)
			a.sendCut(t, pattern(1, large))
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			sent := a.sendSoon(ctx, []byte("no"))
			shmtest.StillBlocked(t, sent, "a sender behind the frame")
			want := stop(&a.out, a.InterruptSend, cancel)
			assert.ErrorIs(t, shmtest.Soon(t, sent, "a sender behind the frame"), want)
			a.out.goOn()
			a.out.never()
			closed := async(func() error { return a.CloseWrite(t.Context()) })
			shmtest.StillBlocked(t, closed, "CloseWrite behind the frame")
			b.mustEnd(t, io.EOF)
			require.NoError(t, shmtest.Soon(t, closed, "CloseWrite"))
		})
	}
}

// TestStoppedAgainAndAgain: between messages that are taken back, all others arrive.
func TestStoppedAgainAndAgain(t *testing.T) {
	a, b := links(t, large)
	for k := range 4 {
		before := [][]byte{pattern(3*k, 1000), nil, pattern(3*k+1, 1)}
		n, err := a.SendBatch(t.Context(), before)
		require.NoError(t, err)
		require.Equal(t, len(before), n)
		a.sendCut(t, make([]byte, large-k))
		next := a.sendSoon(t.Context(), pattern(3*k+2, 5000))
		for _, want := range append(before, pattern(3*k+2, 5000)) {
			assert.True(t, string(want) == b.mustReceive(t), "round %d, %d bytes", k, len(want))
		}
		require.NoError(t, shmtest.Soon(t, next, "sender"))
	}
	require.NoError(t, a.CloseWrite(t.Context()))
	b.mustEnd(t, io.EOF)
}

// TestStoppedAnywhere stops sends at random moments, between frames and inside them, alone and in batches: what arrives
// is what the calls said, no more, no less and in order.
func TestStoppedAnywhere(t *testing.T) {
	const longest, rounds = 400_000, 300
	a, b := links(t, longest)
	rnd := shmtest.Rand(t)
	var promised []string
	arrived := async(func() (got []string) {
		for {
			msg, err := b.receive(t.Context())
			if err != nil {
				return append(got, err.Error())
			}
			got = append(got, msg)
		}
	})
	stopped := 0
	for k := range rounds {
		var batch [][]byte
		for i := range 1 + rnd.IntN(3) {
			batch = append(batch, pattern(3*k+i, rnd.IntN(longest)))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rnd.IntN(300))*time.Microsecond)
		n, err := a.SendBatch(ctx, batch)
		cancel()
		if err != nil {
			require.ErrorIs(t, err, context.DeadlineExceeded)
			stopped++
		} else {
			require.Len(t, batch, n)
		}
		for _, msg := range batch[:n] {
			promised = append(promised, string(msg))
		}
		if k%10 == 0 { // and one that nothing stops
			msg := pattern(k, 10)
			require.NoError(t, shmtest.Soon(t, a.sendSoon(t.Context(), msg), "sender"))
			promised = append(promised, string(msg))
		}
	}
	require.NoError(t, a.CloseWrite(t.Context()))
	got := shmtest.Soon(t, arrived, "receiver")
	t.Logf("%d of %d calls stopped, %d messages promised", stopped, rounds, len(promised))
	assert.Positive(t, stopped)
	assert.True(t, slices.Equal(append(promised, io.EOF.Error()), got), "got %d messages and the end", len(got)-1)
}

type batchResult struct {
	n   int
	err error
}

// batchCut sends a batch that is larger than the socket and stops it once it is blocked.
func (e *end) batchCut(t testing.TB, batch [][]byte) batchResult {
	t.Helper()
	sent := async(func() batchResult {
		n, err := e.SendBatch(t.Context(), batch)
		return batchResult{n, err}
	})
	e.begun(t)
	shmtest.StillBlocked(t, sent, "sender")
	e.out.halt(errStopped)
	e.InterruptSend()
	r := shmtest.Soon(t, sent, "sender")
	e.out.goOn()
	return r
}

// TestBatchStoppedHalfWay: n is what the peer will get, to the message.
func TestBatchStoppedHalfWay(t *testing.T) {
	tests := []struct {
		name      string
		size      int
		firstFits bool // in the socket, so that it is sent
	}{
		{"small", 700, true},
		{"larger than a part", 70_000, true},
		{"huge", 1500 << 10, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, b := links(t, large)
			var batch [][]byte
			for k := range max(2, (4<<20)/tt.size) {
				batch = append(batch, pattern(k, tt.size))
			}
			r := a.batchCut(t, batch)
			require.ErrorIs(t, r.err, errStopped)
			require.Less(t, r.n, len(batch))
			require.Equal(t, tt.firstFits, r.n > 0, "%d sent", r.n)

			done := async(func() error { return a.CloseWrite(t.Context()) })
			for k := range r.n {
				require.True(t, string(pattern(k, tt.size)) == b.mustReceive(t), "message %d", k)
			}
			b.mustEnd(t, io.EOF)
			require.NoError(t, shmtest.Soon(t, done, "CloseWrite"))
		})
	}
}

// TestBatchStoppedInItsLastFrame: the last one is taken back, and only that.
func TestBatchStoppedInItsLastFrame(t *testing.T) {
	a, b := links(t, large)
	assert.Equal(t, batchResult{1, errStopped}, a.batchCut(t, [][]byte{[]byte("first"), pattern(1, large)}))
	next := a.sendSoon(t.Context(), []byte("next"))
	assert.Equal(t, "first", b.mustReceive(t))
	assert.Equal(t, "next", b.mustReceive(t))
	require.NoError(t, shmtest.Soon(t, next, "sender"))
}
