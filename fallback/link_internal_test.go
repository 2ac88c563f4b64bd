package fallback

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"testing"

	"github.com/shmwire/shmwire/internal/shmtest"
	"github.com/shmwire/shmwire/internal/sys"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestFrameAround: a message, an empty one and a close-write frame in a row.
func TestFrameAround(t *testing.T) {
	l := &Link{}
	copy(l.addMessage(3), "abc") // bytes 0 to 9
	l.addMessage(0)              // 9 to 15
	l.add(FrameCloseWrite, 0)    // 15 to 20
	require.Len(t, l.frame, 20)
	bounds := []int{0, 9, 15, 20}
	for at := range 21 {
		start, end := frameAround(l.frame, at)
		wantStart, wantEnd := at, at
		for i := range 3 {
			if bounds[i] < at && at < bounds[i+1] {
				wantStart, wantEnd = bounds[i], bounds[i+1]
			}
		}
		assert.Equal(t, [2]int{wantStart, wantEnd}, [2]int{start, end}, "at %d", at)
	}
}

// TestStoppedInsideCloseWrite: it says only that nothing follows, so it is as good as sent, and finished as it is. No
// socket here splits five bytes, so this one is long.
func TestStoppedInsideCloseWrite(t *testing.T) {
	const size = 2 << 20
	ours, peers, err := sys.Socketpair()
	require.NoError(t, err)
	defer peers.Close()
	stopped := errors.New("stopped by the test")
	var stop atomic.Bool
	l := NewLink(ours, LinkConfig{SendStop: func() error {
		if stop.Load() {
			return stopped
		}
		return nil
	}})
	l.begin()
	copy(l.add(FrameCloseWrite, size), "said")
	want := append([]byte(nil), l.frame...)

	type result struct {
		sent int
		err  error
	}
	done := make(chan result, 1)
	go func() {
		sent, err := l.flush(context.Background())
		done <- result{sent, err}
	}()
	got := make([]byte, len(want))
	_, err = io.ReadFull(peers, got[:1])
	require.NoError(t, err)
	shmtest.StillBlocked(t, done, "flush")
	stop.Store(true)
	l.InterruptSend()
	assert.Equal(t, result{len(want), nil}, shmtest.Soon(t, done, "flush"))

	_, err = io.ReadFull(peers, got[1:])
	require.NoError(t, err)
	assert.True(t, string(want) == string(got), "other bytes")
	require.NoError(t, l.Close())
	rest, err := io.ReadAll(peers)
	require.NoError(t, err)
	assert.Equal(t, []byte{FrameEnd, 0, 0, 0, 0}, rest)
}
