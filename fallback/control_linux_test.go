package fallback_test

import (
	"bytes"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/shmwire/shmwire/fallback"
	"github.com/shmwire/shmwire/internal/shmtest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func newControl(t testing.TB, uc *net.UnixConn) *fallback.Control {
	t.Helper()
	c, err := fallback.NewControl(uc)
	require.NoError(t, err)
	return c
}

// controls returns a control channel and the socket at its other end.
func controls(t testing.TB) (c *fallback.Control, own, peer *net.UnixConn) {
	t.Helper()
	own, peer = pair(t)
	return newControl(t, own), own, peer
}

func TestControlBellsCoalesce(t *testing.T) {
	c, own, peer := controls(t)
	for range 100 {
		c.Ring()
	}
	assert.EqualValues(t, 100, c.Rung())
	require.NoError(t, own.Close())
	bells := 0
	require.NoError(t, newControl(t, peer).Serve(func() { bells++ }, func() { t.Error("frame out of nothing") }))
	assert.Equal(t, 1, bells, "bells that were there at once")
}

// TestControlLosesNoBell: after the last of some concurrent rings the reader looks once more, round after round. Who
// finds the channel taken leaves a note, and a note must not be left lying.
//
// A channel carries two end frames at most, so there is a new one after that many.
func TestControlLosesNoBell(t *testing.T) {
	for range 150 {
		losesNoBell(t)
	}
}

func losesNoBell(t *testing.T) {
	t.Helper()
	const goroutines, rounds = 4, 4
	c, own, peer := controls(t)
	var state, seen atomic.Int64
	served := async(func() error {
		return newControl(t, peer).Serve(func() { seen.Store(state.Load()) }, func() {})
	})
	for round := range int64(rounds) {
		var wg sync.WaitGroup
		for i := range goroutines {
			wg.Go(func() {
				state.Add(1)
				if i == 0 && round%2 == 0 {
					c.SendEnd()
				}
				c.Ring()
			})
		}
		wg.Wait()
		shmtest.Eventually(t, "the bell after the last change", func() bool { return seen.Load() == (round+1)*goroutines })
	}
	require.NoError(t, own.Close())
	require.NoError(t, shmtest.Soon(t, served, "Serve"))
	require.NoError(t, peer.Close())
}

// TestControlStreamStaysWhole: bells and frames of many goroutines, to a reader so slow that the socket is full most
// of the time.
func TestControlStreamStaysWhole(t *testing.T) {
	c, own, peer := controls(t)
	rnd := shmtest.Rand(t)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for k := range 2000 {
				if (k+i)%5 == 0 {
					c.SendEnd()
				} else {
					c.Ring()
				}
			}
		})
	}
	var stream []byte
	read := async(func() error {
		buf := make([]byte, 16)
		for {
			n, err := peer.Read(buf[:1+rnd.IntN(len(buf))])
			stream = append(stream, buf[:n]...)
			if err != nil {
				return err
			}
		}
	})
	wg.Wait()
	require.NoError(t, own.Close())
	require.ErrorIs(t, shmtest.Soon(t, read, "reader"), io.EOF)

	bells := bytes.Count(bytes.ReplaceAll(stream, endFrame(), nil), []byte{0})
	frames := bytes.Count(stream, endFrame())
	assert.Equal(t, len(stream), bells+frames*len(endFrame()), "bytes that are neither bell nor frame")
	assert.Positive(t, bells)
	assert.Positive(t, frames)
}

func endFrame() []byte { return []byte{fallback.FrameEnd, 0, 0, 0, 0} }

// TestControlNeverWaits: nobody reads, and what lies unread stays little.
func TestControlNeverWaits(t *testing.T) {
	c, own, peer := controls(t)
	done := async(func() bool {
		for range 10_000 {
			c.Ring()
			c.SendEnd()
		}
		return true
	})
	shmtest.Soon(t, done, "ringer")
	require.NoError(t, own.Close())
	unread, err := io.ReadAll(peer)
	require.NoError(t, err)
	assert.NotEmpty(t, unread)
	assert.Less(t, len(unread), 256, "unread bells pin memory")
}

func TestControlRingAllocatesNothing(t *testing.T) {
	c, _, peer := controls(t)
	assert.Zero(t, testing.AllocsPerRun(100, c.Ring))
	buf := make([]byte, 64)
	assert.Zero(t, testing.AllocsPerRun(100, func() { // with room in the socket
		if _, err := peer.Read(buf); err != nil {
			panic(err)
		}
		c.Ring()
	}))
}

func TestControlServeEnds(t *testing.T) {
	tests := []struct {
		name string
		end  func(t *testing.T, own, peer *net.UnixConn)
	}{
		{"end of file", func(t *testing.T, _, peer *net.UnixConn) { require.NoError(t, peer.Close()) }},
		{"half closed", func(t *testing.T, _, peer *net.UnixConn) { require.NoError(t, peer.CloseWrite()) }},
		{"reset", func(t *testing.T, own, peer *net.UnixConn) {
			_, err := own.Write([]byte{0}) // a bell that the peer never reads
			require.NoError(t, err)
			require.NoError(t, peer.Close())
		}},
		{"inside a frame", func(t *testing.T, _, peer *net.UnixConn) {
			_, err := peer.Write(endFrame()[:3])
			require.NoError(t, err)
			require.NoError(t, peer.Close())
		}},
		{"own close", func(t *testing.T, own, _ *net.UnixConn) { require.NoError(t, own.Close()) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, own, peer := controls(t)
			served := async(func() error {
				return c.Serve(func() { t.Error("bell out of nothing") }, func() { t.Error("frame out of nothing") })
			})
			shmtest.StillBlocked(t, served, "Serve")
			tt.end(t, own, peer)
			assert.NoError(t, shmtest.Soon(t, served, "Serve"))
			c.Ring() // into the void
			c.SendEnd()
		})
	}
}

// TestControlReportsOtherTroubles: what is no end of the connection is not taken for one.
func TestControlReportsOtherTroubles(t *testing.T) {
	c, own, _ := controls(t)
	require.NoError(t, own.SetReadDeadline(time.Unix(1, 0)))
	var timeout net.Error
	require.ErrorAs(t, c.Serve(func() {}, func() {}), &timeout)
	assert.True(t, timeout.Timeout())
}

func TestControlRefusesOtherBytes(t *testing.T) {
	long := append([]byte{fallback.FrameEnd, 65, 0, 0, 0}, make([]byte, 65)...)
	tests := []struct {
		name, bytes, want string
	}{
		{"message", "\x01\x00\x00\x00\x00", "got type 1 with 0 bytes"},
		{"close-write", "\x02\x00\x00\x00\x00", "got type 2 with 0 bytes"},
		{"unknown type", "\x04\x01\x00\x00\x00x", "got type 4 with 1 bytes"},
		{"text", "GET / HTTP/1.1\r\n", "got type 71 with 790647877 bytes"},
		{"long", string(long), "got type 3 with 65 bytes"},
		{"longest", "\x03\xff\xff\xff\xff", "got type 3 with 4294967295 bytes"},
		{"after bells", "\x00\x00\xff\xff\xff\xff\xff", "got type 255 with 4294967295 bytes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, _, peer := controls(t)
			served := async(func() error { return c.Serve(func() {}, func() {}) })
			_, err := peer.Write([]byte(tt.bytes))
			require.NoError(t, err)
			err = shmtest.Soon(t, served, "Serve")
			require.ErrorIs(t, err, fallback.ErrFrame)
			assert.ErrorContains(t, err, tt.want+", want an end frame of at most 64 bytes")
		})
	}
}

// TestControlStepsOverPayload: an end frame of a later version may say more; its zero bytes are no bells.
func TestControlStepsOverPayload(t *testing.T) {
	c, _, peer := controls(t)
	_, err := peer.Write(append(append([]byte{fallback.FrameEnd, 64, 0, 0, 0}, make([]byte, 64)...), endFrame()...))
	require.NoError(t, err)
	require.NoError(t, peer.Close())
	frames := 0
	require.NoError(t, c.Serve(func() { t.Error("bell out of a payload") }, func() { frames++ }))
	assert.Equal(t, 2, frames)
}

// TestControlCountsEndFrames: a peer ends its sending and itself, so a third end frame is a flood, whether it comes with
// the others or later, and whatever else comes.
func TestControlCountsEndFrames(t *testing.T) {
	two := append(endFrame(), endFrame()...)
	for name, parts := range map[string][][]byte{
		"together":      {append(endFrame(), two...)},
		"one by one":    {endFrame(), endFrame(), endFrame()},
		"between bells": {{0}, endFrame(), {0, 0}, endFrame(), {0}, endFrame()},
	} {
		t.Run(name, func(t *testing.T) {
			c, _, peer := controls(t)
			served := async(func() error { return c.Serve(func() {}, func() {}) })
			for _, part := range parts {
				shmtest.StillBlocked(t, served, "Serve")
				_, err := peer.Write(part)
				require.NoError(t, err)
			}
			err := shmtest.Soon(t, served, "Serve")
			require.ErrorIs(t, err, fallback.ErrFrame)
			assert.ErrorContains(t, err, "got 3 end frames, want at most 2")
		})
	}
}

// TestControlDropsStrayDescriptors: a hostile peer attaches them to its bells.
func TestControlDropsStrayDescriptors(t *testing.T) {
	c, _, peer := controls(t)
	bells := make(chan struct{})
	served := async(func() error { return c.Serve(func() { bells <- struct{}{} }, func() {}) })
	before := shmtest.FDs(t)
	raw, err := peer.SyscallConn()
	require.NoError(t, err)
	for range 20 {
		require.NoError(t, raw.Control(func(fd uintptr) {
			many := make([]int, 253)
			for i := range many {
				many[i] = int(fd)
			}
			err = syscall.Sendmsg(int(fd), []byte{0}, syscall.UnixRights(many...), nil, 0)
		}))
		require.NoError(t, err)
		shmtest.Soon(t, bells, "bell")
	}
	assert.Equal(t, before, shmtest.FDs(t))
	require.NoError(t, peer.Close())
	require.NoError(t, shmtest.Soon(t, served, "Serve"))
}

func TestControlOverClosedSocket(t *testing.T) {
	own, _ := pair(t)
	require.NoError(t, own.Close())
	_, err := fallback.NewControl(own)
	assert.ErrorIs(t, err, net.ErrClosed)
}
