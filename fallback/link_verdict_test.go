package fallback_test

import (
	"context"
	"io"
	"testing"

	"github.com/shmwire/shmwire/fallback"
	"github.com/shmwire/shmwire/internal/shmtest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestLinkVerdictWhileReceiving: the sender and the receiver, both waiting, learn of the peer's end.
func TestLinkVerdictWhileReceiving(t *testing.T) {
	for _, tt := range []struct {
		name           string
		end            func(t *testing.T, b *end)
		sends, receive error
	}{
		{"orderly", func(t *testing.T, b *end) { b.shut(t) }, io.ErrClosedPipe, io.EOF},
		{"crash", func(t *testing.T, b *end) { b.die(t) }, fallback.ErrPeerDied, fallback.ErrPeerDied},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, b := links(t, large)
			received := async(func() error { _, err := a.receive(t.Context()); return err })
			sent := a.sendSoon(t.Context(), make([]byte, large))
			a.begun(t)
			shmtest.StillBlocked(t, sent, "sender")
			shmtest.StillBlocked(t, received, "receiver")
			tt.end(t, b)
			assert.ErrorIs(t, shmtest.Soon(t, sent, "sender"), tt.sends)
			assert.ErrorIs(t, shmtest.Soon(t, received, "receiver"), tt.receive)
		})
	}
}

// TestLinkPeerThatOnlyStopsReading is a hostile one: the sender's socket is broken, the receiver's is not, so nothing
// ends the receiver's wait. The sender must not wait for it.
func TestLinkPeerThatOnlyStopsReading(t *testing.T) {
	ua, ub := pair(t)
	a := newEnd(t, ua, 100)
	received := async(func() error { _, err := a.receive(t.Context()); return err })
	shmtest.StillBlocked(t, received, "receiver")
	require.NoError(t, ub.CloseRead())
	assert.ErrorIs(t, shmtest.Soon(t, a.sendSoon(t.Context(), []byte("x")), "sender"), fallback.ErrPeerDied)
	shmtest.StillBlocked(t, received, "receiver")

	// What it says later reaches the receiver, and changes nothing for senders.
	_, err := ub.Write([]byte{fallback.FrameEnd, 0, 0, 0, 0})
	require.NoError(t, err)
	require.NoError(t, ub.Close())
	assert.ErrorIs(t, shmtest.Soon(t, received, "receiver"), io.EOF)
	assert.ErrorIs(t, a.Send(t.Context(), []byte("x")), fallback.ErrPeerDied)
}

// TestLinkVerdictIsRemembered: once a send has found the peer gone, every later one says so, also one that needs no
// socket; what ends a call by itself still comes first.
func TestLinkVerdictIsRemembered(t *testing.T) {
	ends := map[string]struct {
		end  func(t *testing.T, b *end)
		want error
	}{
		"orderly": {func(t *testing.T, b *end) { b.shut(t) }, io.ErrClosedPipe},
		"crash":   {func(t *testing.T, b *end) { b.die(t) }, fallback.ErrPeerDied},
	}
	finds := map[string]func(t *testing.T, a *end, end func()) error{
		"by a send": func(t *testing.T, a *end, end func()) error { end(); return a.Send(t.Context(), []byte("x")) },
		"by a batch": func(t *testing.T, a *end, end func()) error {
			end()
			n, err := a.SendBatch(t.Context(), [][]byte{{1}, {2}})
			assert.Zero(t, n)
			return err
		},
		"by CloseWrite": func(t *testing.T, a *end, end func()) error { end(); return a.CloseWrite(t.Context()) },
		"behind a frame taken back": func(t *testing.T, a *end, end func()) error {
			a.sendCut(t, make([]byte, large))
			end()
			_, err := a.Claim(t.Context(), 0)
			return err
		},
	}
	for endName, e := range ends {
		for findName, find := range finds {
			t.Run(endName+" "+findName, func(t *testing.T) {
				a, b := links(t, large)
				require.ErrorIs(t, find(t, a, func() { e.end(t, b) }), e.want)
				for name, call := range sends(a) {
					assert.ErrorIs(t, call(t.Context()), e.want, name)
				}
				ctx, cancel := context.WithCancel(t.Context())
				cancel()
				assert.ErrorIs(t, a.Send(ctx, nil), context.Canceled)
				a.out.halt(errStopped)
				assert.ErrorIs(t, a.Send(t.Context(), nil), errStopped)
			})
		}
	}
}

// sends are all the ways to begin to send.
func sends(a *end) map[string]func(ctx context.Context) error {
	return map[string]func(ctx context.Context) error{
		"Claim":          func(ctx context.Context) error { _, err := a.Claim(ctx, 1); return err },
		"Send":           func(ctx context.Context) error { return a.Send(ctx, nil) },
		"SendBatch":      func(ctx context.Context) error { _, err := a.SendBatch(ctx, [][]byte{{1}}); return err },
		"an empty batch": func(ctx context.Context) error { _, err := a.SendBatch(ctx, nil); return err },
		"CloseWrite":     a.CloseWrite,
	}
}

// TestVerdictDespiteInterrupts: the sender reads ahead to tell how the peer ended, while somebody interrupts the
// receiver; nothing that the peer sent may be lost by that.
func TestVerdictDespiteInterrupts(t *testing.T) {
	for range 20 {
		a, b := links(t, 100)
		n := b.brimful(t)
		closed := make(chan struct{})
		hammer := async(func() bool {
			for range 300 {
				a.InterruptReceive()
			}
			<-closed
			return true
		})
		b.die(t)
		assert.ErrorIs(t, a.Send(t.Context(), nil), fallback.ErrPeerDied)
		close(closed)
		shmtest.Soon(t, hammer, "interrupts")
		for k := range n {
			msg, err := a.receive(t.Context())
			require.NoError(t, err, "message %d of %d", k, n)
			require.Equal(t, "brim", msg)
		}
		a.mustEnd(t, fallback.ErrPeerDied)
	}
}
