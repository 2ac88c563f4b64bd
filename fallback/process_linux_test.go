package fallback_test

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"testing"

	"github.com/shmwire/shmwire/fallback"
	"github.com/shmwire/shmwire/internal/shmtest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// withChild returns a socket whose other end is descriptor 3 of a child in that role.
func withChild(t *testing.T, role string, args ...string) (*net.UnixConn, *shmtest.Process) {
	t.Helper()
	ours, theirs := pair(t)
	f, err := theirs.File()
	require.NoError(t, err)
	child := shmtest.ChildFiles(t, []*os.File{f}, role, args...)
	require.NoError(t, f.Close())
	require.NoError(t, theirs.Close()) // the child's end is the child's alone, so that its death closes it
	return ours, child
}

// TestHandshakeBetweenProcesses: over an inherited socketpair, which this process made both ends of, each side learns
// the other's credentials, not the maker's.
func TestHandshakeBetweenProcesses(t *testing.T) {
	for _, role := range []string{"begin", "answer"} {
		t.Run("child says "+role, func(t *testing.T) {
			s := mustStore(t)
			ours, child := withChild(t, "shake", role, "")
			require.Equal(t, "ready", child.Line())
			o := shmtest.Soon(t, shake(ours, params(s)), "handshake")
			require.NoError(t, o.err)
			assert.Equal(t, fallback.Cred{PID: child.PID(), UID: os.Geteuid(), GID: os.Getegid(), Known: true}, o.Peer)
			assert.True(t, o.Shared, o.Reason)
			assert.Len(t, s.took, 2)
			assert.Equal(t, fmt.Sprintf(
				"{PID:%d UID:%d GID:%d Known:true} shared=true eventfd/eventfd trusted=true 2 descriptors",
				os.Getpid(), os.Geteuid(), os.Getegid()), child.Line())
			child.Send("enough")
			assert.Zero(t, child.Wait())
		})
	}
}

// TestHandshakeWithAnotherUser: a stranger gets memory to read, and no eventfd.
func TestHandshakeWithAnotherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can become another user")
	}
	s := mustStore(t)
	ours, child := withChild(t, "shake", "begin", "4711")
	require.Equal(t, "ready", child.Line(), "only then do the handshake's five seconds begin")
	o := shmtest.Soon(t, shake(ours, params(s)), "handshake")
	require.NoError(t, o.err, "the child says: %v", o)
	assert.Equal(t, fallback.Cred{PID: child.PID(), UID: 4711, GID: 4711, Known: true}, o.Peer)
	assert.False(t, o.Agreed.Trusted)
	assert.Equal(t, fallback.WakeSocket, o.Agreed.OwnWake)
	assert.Equal(t, fallback.WakeSocket, o.Agreed.PeerWake)
	assert.True(t, o.Shared, o.Reason)
	assert.Len(t, s.took, 1)
	assert.Equal(t, fmt.Sprintf("{PID:%d UID:0 GID:%d Known:true} shared=true socket/socket trusted=false 1 descriptors",
		os.Getpid(), os.Getegid()), child.Line())
}

// TestHandshakeWithoutDescriptors: the kernel drops descriptors that the receiver has no room for.
func TestHandshakeWithoutDescriptors(t *testing.T) {
	t.Run("for good", func(t *testing.T) {
		s := mustStore(t)
		ours, child := withChild(t, "starving", "500ms")
		require.Equal(t, "starving", child.Line())
		o := shmtest.Soon(t, shake(ours, params(s)), "handshake")
		require.NoError(t, o.err)
		assert.False(t, o.Shared)
		assert.Equal(t, "peer: the peer's descriptors: too many open files", o.Reason)
		assert.Equal(t, "shared=false the peer's descriptors: too many open files", child.Line())
		child.Send("here are some")
		assert.Equal(t, "more: 0", child.Line())
		assert.Zero(t, child.Wait())
	})
	t.Run("for a moment", func(t *testing.T) {
		s := mustStore(t)
		ours, child := withChild(t, "starving", "1h")
		require.Equal(t, "starving", child.Line())
		o := shake(ours, params(s))
		shmtest.StillBlocked(t, o, "handshake with a process without descriptors")
		child.Send("here are some")
		got := shmtest.Soon(t, o, "handshake")
		require.NoError(t, got.err)
		assert.True(t, got.Shared, got.Reason)
		assert.Equal(t, "shared=true ", child.Line())
		assert.Equal(t, "more: 2", child.Line(), "the two that were passed")
		assert.Zero(t, child.Wait())
	})
}

// TestLinkPeerKilled: what the killed process has sent is still delivered, whole and in order, and then its death.
func TestLinkPeerKilled(t *testing.T) {
	for _, tt := range []struct{ count, size int }{{0, 10}, {1, 0}, {100, 10}, {3, 30_000}} {
		t.Run(fmt.Sprintf("%d messages of %d bytes", tt.count, tt.size), func(t *testing.T) {
			ours, child := withChild(t, "send", strconv.Itoa(tt.count), strconv.Itoa(tt.size))
			a := newEnd(t, ours, tt.size)
			require.Equal(t, "sent", child.Line())
			var early <-chan error
			if tt.count == 0 { // its death ends a wait, too
				early = async(func() error { _, err := a.receive(t.Context()); return err })
				shmtest.StillBlocked(t, early, "receiver")
			}
			child.Kill()
			if early != nil {
				require.ErrorIs(t, shmtest.Soon(t, early, "receiver"), fallback.ErrPeerDied)
			}
			require.ErrorIs(t, a.Send(t.Context(), nil), fallback.ErrPeerDied)
			for k := range tt.count {
				assert.True(t, string(pattern(k, tt.size)) == a.mustReceive(t), "message %d", k)
			}
			a.mustEnd(t, fallback.ErrPeerDied)
			require.ErrorIs(t, a.Send(t.Context(), nil), fallback.ErrPeerDied)
		})
	}
}

// TestLinkPeerKilledAfterAStoppedSend: what was promised around a message that was taken back is delivered, in order;
// that message is not.
func TestLinkPeerKilledAfterAStoppedSend(t *testing.T) {
	const count, size = 20, 1000
	promised := func(t *testing.T, a *end) {
		for k := range count {
			assert.True(t, string(pattern(k, size)) == a.mustReceive(t), "message %d", k)
		}
	}
	start := func(t *testing.T) (*end, *shmtest.Process) {
		ours, child := withChild(t, "stop", strconv.Itoa(count), strconv.Itoa(size))
		a := newEnd(t, ours, large)
		require.Equal(t, "stopped: i/o timeout", child.Line())
		return a, child
	}
	t.Run("before the rest of it", func(t *testing.T) {
		a, child := start(t)
		child.Kill()
		promised(t, a)
		a.mustEnd(t, fallback.ErrPeerDied)
	})
	t.Run("behind the next ones", func(t *testing.T) {
		a, child := start(t)
		child.Send("go on")
		promised(t, a)
		assert.True(t, string(pattern(count, size)) == a.mustReceive(t), "the first one behind it")
		require.Equal(t, "sent", child.Line())
		child.Kill()
		for k := count + 1; k < 2*count; k++ {
			assert.True(t, string(pattern(k, size)) == a.mustReceive(t), "message %d", k)
		}
		a.mustEnd(t, fallback.ErrPeerDied)
	})
}

// TestLinkPeerKilledInsideAMessage: what came of that message is no message.
func TestLinkPeerKilledInsideAMessage(t *testing.T) {
	ours, child := withChild(t, "send", "2", strconv.Itoa(large))
	a := newEnd(t, ours, large)
	assert.True(t, string(pattern(0, large)) == a.mustReceive(t)) // so it is at the second one, which nobody reads
	child.Kill()
	a.mustEnd(t, fallback.ErrPeerDied)
}
