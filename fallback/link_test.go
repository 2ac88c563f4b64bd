package fallback_test

import (
	"fmt"
	"io"
	"slices"
	"testing"

	"github.com/shmwire/shmwire/fallback"
	"github.com/shmwire/shmwire/internal/shmtest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// pattern returns n bytes that depend on k, so that no two messages of a test look alike.
func pattern(k, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i>>8 + k*31)
	}
	return b
}

func TestLinkCarriesEverySize(t *testing.T) {
	const longest = 1 << 20
	a, b := links(t, longest)
	sizes := []int{0, 1, 2, 4, 5, 63, 64, 4091, 4092, 4096, 16379, 16384, 16385, 65531, 65536, longest - 1, longest, 0, 0, 3}
	sent := async(func() error {
		for k, n := range sizes {
			if err := a.Send(t.Context(), pattern(k, n)); err != nil {
				return err
			}
		}
		return nil
	})
	for k, n := range sizes {
		assert.True(t, string(pattern(k, n)) == b.mustReceive(t), "message %d of %d bytes", k, n)
	}
	require.NoError(t, shmtest.Soon(t, sent, "sender"))
}

// TestLinkBothWaysAtOnce: the two directions of both ends share nothing, under random sizes and all ways of sending.
func TestLinkBothWaysAtOnce(t *testing.T) {
	const longest, count = 9000, 2000
	a, b := links(t, longest)
	sizes := func() []int {
		rnd := shmtest.Rand(t)
		s := make([]int, count)
		for i := range s {
			s[i] = rnd.IntN(longest + 1)
		}
		return s
	}
	ends := []*end{a, b}
	plans := [][]int{sizes(), sizes()}
	var done []<-chan error
	for i, e := range ends {
		done = append(done, async(func() error { return sendAll(t, e, plans[i]) }))
		done = append(done, async(func() error { return receiveAll(t, e, plans[1-i]) }))
	}
	for _, ch := range done {
		require.NoError(t, shmtest.Soon(t, ch, "sender or receiver"))
	}
}

func sendAll(t *testing.T, e *end, sizes []int) error {
	for k := 0; k < len(sizes); {
		switch k % 3 {
		case 0:
			if err := e.Send(t.Context(), pattern(k, sizes[k])); err != nil {
				return err
			}
			k++
		case 1:
			buf, err := e.Claim(t.Context(), sizes[k])
			if err != nil {
				return err
			}
			copy(buf, pattern(k, sizes[k]))
			if err := e.Commit(t.Context()); err != nil {
				return err
			}
			k++
		default:
			var batch [][]byte
			for i := k; i < min(k+20, len(sizes)); i++ {
				batch = append(batch, pattern(i, sizes[i]))
			}
			n, err := e.SendBatch(t.Context(), batch)
			if err != nil || n != len(batch) {
				return fmt.Errorf("batch: %d of %d: %w", n, len(batch), err)
			}
			k += n
		}
	}
	return nil
}

func receiveAll(t *testing.T, e *end, sizes []int) error {
	for k, n := range sizes {
		msg, err := e.receive(t.Context())
		if err != nil {
			return fmt.Errorf("message %d: %w", k, err)
		}
		if msg != string(pattern(k, n)) {
			return fmt.Errorf("message %d: got %d bytes, want %d, or other bytes", k, len(msg), n)
		}
	}
	return nil
}

func TestLinkClaim(t *testing.T) {
	a, b := links(t, 10)
	buf, err := a.Claim(t.Context(), 10)
	require.NoError(t, err)
	assert.Len(t, buf, 10)
	assert.Equal(t, 10, cap(buf), "a claim reaches into what follows it")
	copy(buf, "0123456789")
	require.NoError(t, a.Commit(t.Context()))

	_, err = a.Claim(t.Context(), 4) // given up: the next call takes its place
	require.NoError(t, err)
	require.NoError(t, a.Send(t.Context(), []byte("next")))
	assert.Equal(t, "0123456789", b.mustReceive(t))
	assert.Equal(t, "next", b.mustReceive(t))
}

func TestLinkReady(t *testing.T) {
	a, b := links(t, 100)
	_, ok := b.Ready()
	require.False(t, ok)
	n, err := a.SendBatch(t.Context(), [][]byte{[]byte("one"), nil, []byte("three")})
	require.NoError(t, err)
	require.Equal(t, 3, n)
	assert.Equal(t, "one", b.mustReceive(t)) // and reads what came with it
	for _, want := range []string{"", "three"} {
		msg, ok := b.Ready()
		require.True(t, ok)
		assert.Equal(t, want, string(msg))
		assert.Equal(t, len(msg), cap(msg), "a view reaches into what follows it")
		b.Release()
	}
	_, ok = b.Ready()
	assert.False(t, ok)
	require.NoError(t, a.CloseWrite(t.Context()))
	b.mustEnd(t, io.EOF)
	_, ok = b.Ready()
	assert.False(t, ok)
}

// TestLinkMisuse: a caller's mistake must not go out on the wire.
func TestLinkMisuse(t *testing.T) {
	a, b := links(t, 10)
	ctx := t.Context()
	tests := []struct {
		name string
		call func()
		want string
	}{
		{"claim too long", func() { _, _ = a.Claim(ctx, 11) }, "fallback: claim of 11 bytes, at most 10 are possible"},
		{"claim negative", func() { _, _ = a.Claim(ctx, -1) }, "fallback: claim of -1 bytes, at most 10 are possible"},
		{"send too long", func() { _ = a.Send(ctx, make([]byte, 11)) }, "fallback: claim of 11 bytes, at most 10 are possible"},
		{
			"batch with one too long", func() { _, _ = a.SendBatch(ctx, [][]byte{{1}, make([]byte, 12)}) },
			"fallback: message 1 has 12 bytes, at most 10 are possible",
		},
		{"commit of nothing", func() { _ = a.Commit(ctx) }, "fallback: Commit without a claim"},
		{
			"commit twice", func() {
				_, err := a.Claim(ctx, 1)
				require.NoError(t, err)
				require.NoError(t, a.Commit(ctx))
				assert.Len(t, b.mustReceive(t), 1)
				_ = a.Commit(ctx)
			}, "fallback: Commit without a claim",
		},
		{"release of nothing", func() { b.Release() }, "fallback: Release without a message"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { assert.PanicsWithValue(t, tt.want, tt.call) })
	}

	require.NoError(t, a.Send(ctx, []byte("held")))
	_, err := b.Next(ctx)
	require.NoError(t, err)
	assert.PanicsWithValue(t, "fallback: Next while the message before it is not released", func() { _, _ = b.Next(ctx) })
	assert.PanicsWithValue(t, "fallback: Ready while the message before it is not released", func() { b.Ready() })
	b.Release()

	require.NoError(t, a.Send(ctx, []byte("sound")))
	assert.Equal(t, "sound", b.mustReceive(t), "a misuse left something in the stream")
}

func TestLinkCloseWrite(t *testing.T) {
	a, b := links(t, 100)
	require.NoError(t, a.Send(t.Context(), []byte("last")))
	require.NoError(t, a.CloseWrite(t.Context()))
	assert.Equal(t, "last", b.mustReceive(t))
	b.mustEnd(t, io.EOF)
	b.mustEnd(t, io.EOF)

	// The other direction is open, until b closes.
	require.NoError(t, b.Send(t.Context(), []byte("answer")))
	assert.Equal(t, "answer", a.mustReceive(t))
	b.shut(t)
	a.mustEnd(t, io.EOF)
}

func TestLinkClose(t *testing.T) {
	a, b := links(t, 1<<16)
	n, err := b.SendBatch(t.Context(), [][]byte{[]byte("one"), pattern(2, 1<<16), []byte("three")})
	require.NoError(t, err)
	require.Equal(t, 3, n)
	b.shut(t)
	require.ErrorIs(t, a.Send(t.Context(), []byte("too late")), io.ErrClosedPipe)
	require.ErrorIs(t, a.CloseWrite(t.Context()), io.ErrClosedPipe)
	_, err = a.SendBatch(t.Context(), [][]byte{{1}})
	require.ErrorIs(t, err, io.ErrClosedPipe)
	for _, want := range []string{"one", string(pattern(2, 1<<16)), "three"} {
		assert.True(t, want == a.mustReceive(t), "%.5q", want)
	}
	a.mustEnd(t, io.EOF)
	a.mustEnd(t, io.EOF)
}

// TestLinkCloseWithUnreadMessages: our unread messages turn the peer's end-of-file into ECONNRESET; what we sent and
// that we closed is seen all the same.
func TestLinkCloseWithUnreadMessages(t *testing.T) {
	a, b := links(t, 100)
	require.NoError(t, a.Send(t.Context(), []byte("never read")))
	require.NoError(t, b.Send(t.Context(), []byte("read")))
	b.shut(t)
	assert.Equal(t, "read", a.mustReceive(t))
	a.mustEnd(t, io.EOF)
	require.ErrorIs(t, a.Send(t.Context(), nil), io.ErrClosedPipe)
}

func TestLinkCrash(t *testing.T) {
	a, b := links(t, 1<<16)
	require.NoError(t, b.Send(t.Context(), []byte("one")))
	require.NoError(t, b.Send(t.Context(), pattern(2, 50_000)))
	b.die(t)
	require.ErrorIs(t, a.Send(t.Context(), []byte("too late")), fallback.ErrPeerDied)
	assert.Equal(t, "one", a.mustReceive(t))
	assert.True(t, string(pattern(2, 50_000)) == a.mustReceive(t))
	a.mustEnd(t, fallback.ErrPeerDied)
	a.mustEnd(t, io.ErrUnexpectedEOF)
	require.ErrorIs(t, a.Send(t.Context(), nil), fallback.ErrPeerDied)
}

// TestLinkCutFrame: the peer dies inside a frame. What came of it is no message, though only the trailer be missing.
func TestLinkCutFrame(t *testing.T) {
	whole := []byte{fallback.FrameMessage, 3, 0, 0, 0, 'a', 'b', 'c', 1}
	takenBack := []byte{fallback.FrameMessage, 3, 0, 0, 0, 'x', 'y', 'z', 0}
	for cut := range whole {
		for name, before := range map[string][]byte{"a message": nil, "one taken back": takenBack} {
			t.Run(fmt.Sprintf("%d bytes behind %s", cut, name), func(t *testing.T) {
				ua, ub := pair(t)
				a := newEnd(t, ua, 100)
				_, err := ub.Write(slices.Concat(whole, before, whole[:cut]))
				require.NoError(t, err)
				require.NoError(t, ub.Close())
				assert.Equal(t, "abc", a.mustReceive(t))
				a.mustEnd(t, fallback.ErrPeerDied)
				_, ok := a.Ready()
				assert.False(t, ok)
			})
		}
	}
}

func TestLinkMalformedFrames(t *testing.T) {
	tests := []struct{ name, bytes, want string }{
		{"a doorbell", "\x00\x00\x00\x00\x00", "got type 0 with 0 bytes"},
		{"unknown type", "\x09\x01\x00\x00\x00x", "got type 9 with 1 bytes"},
		{"text", "GET / HTTP/1.1\r\n\r\n", "got type 71 with 790647877 bytes"},
		{"one byte too long", "\x01\x65\x00\x00\x00", "got type 1 with 101 bytes"},
		{"as long as possible", "\x01\xff\xff\xff\xff", "got type 1 with 4294967295 bytes"},
		{"end frame with a payload", "\x03\x01\x00\x00\x00x", "got type 3 with 1 bytes"},
		{"close-write frame with a payload", "\x02\xff\xff\xff\x7f", "got type 2 with 2147483647 bytes"},
		{"a trailer of 2", "\x01\x01\x00\x00\x00x\x02", "got trailer 2, want 0 or 1"},
		{"a trailer of 255", "\x01\x03\x00\x00\x00\x01\x01\x01\xff", "got trailer 255, want 0 or 1"},
		{"a trailer behind nothing", "\x01\x00\x00\x00\x00\x80", "got trailer 128, want 0 or 1"},
		{"no trailer", "\x01\x01\x00\x00\x00x\x03\x00\x00\x00\x00", "got trailer 3, want 0 or 1"},
		{"behind one taken back", "\x01\x01\x00\x00\x00x\x00\x09\x01\x00\x00\x00x", "got type 9 with 1 bytes"},
		{"two trailers", "\x01\x01\x00\x00\x00x\x00\x00\x00\x00\x00\x00", "got type 0 with 0 bytes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ua, ub := pair(t)
			a := newEnd(t, ua, 100)
			_, err := ub.Write([]byte("\x01\x04\x00\x00\x00good\x01" + tt.bytes + "\x01\x04\x00\x00\x00more\x01"))
			require.NoError(t, err)
			assert.Equal(t, "good", a.mustReceive(t))
			for range 2 { // it is final
				_, err = a.receive(t.Context())
				require.ErrorIs(t, err, fallback.ErrFrame)
				require.ErrorContains(t, err, tt.want)
			}
			_, ok := a.Ready()
			assert.False(t, ok)
			require.NoError(t, ub.Close())
			assert.ErrorIs(t, a.Send(t.Context(), nil), fallback.ErrPeerDied)
		})
	}
}

// TestLinkViewStays: a view is the caller's until Release, whatever happens to the connection meanwhile.
func TestLinkViewStays(t *testing.T) {
	a, b := links(t, 1<<16)
	require.NoError(t, b.Send(t.Context(), []byte("the view")))
	view, err := a.Next(t.Context())
	require.NoError(t, err)
	for k := range 3 {
		require.NoError(t, b.Send(t.Context(), pattern(k, 30_000)))
	}
	b.shut(t)
	// To tell how the peer ended, the sender reads ahead of the view.
	require.ErrorIs(t, a.Send(t.Context(), nil), io.ErrClosedPipe)
	assert.Equal(t, "the view", string(view))
	a.Release()
	for k := range 3 {
		assert.True(t, string(pattern(k, 30_000)) == a.mustReceive(t), "message %d", k)
	}
	a.mustEnd(t, io.EOF)
}

func TestLinkAllocatesNothing(t *testing.T) {
	a, b := links(t, 100)
	msg := []byte("forty-two")
	batch := [][]byte{msg, msg, nil}
	ctx := t.Context()
	round := func() {
		if err := a.Send(ctx, msg); err != nil {
			panic(err)
		}
		if _, err := a.SendBatch(ctx, batch); err != nil {
			panic(err)
		}
		for range 4 {
			if _, err := b.Next(ctx); err != nil {
				panic(err)
			}
			b.Release()
		}
	}
	assert.Zero(t, testing.AllocsPerRun(200, round))
}
