package shmwire_test

import (
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/shmwire/shmwire"
	"github.com/shmwire/shmwire/internal/shmtest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// withChild starts a child in a role, with one end of a socketpair, and connects to it over the other.
func withChild(t *testing.T, cfg *shmwire.Config, role string, args ...string) (*shmwire.Conn, *shmtest.Process) {
	t.Helper()
	uc, file, err := shmwire.Socketpair()
	require.NoError(t, err)
	child := shmtest.ChildFiles(t, []*os.File{file}, role, args...)
	require.NoError(t, file.Close())
	c, err := shmwire.NewConn(uc, cfg)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	return c, child
}

func TestWhatTheChildCommittedIsDelivered(t *testing.T) {
	tests := []struct {
		ending string
		want   error
	}{
		{"close", io.EOF},
		{"kill", shmwire.ErrPeerDied},
		{"kill-in-claim", shmwire.ErrPeerDied},
		{"exit", shmwire.ErrPeerDied},
	}
	const count = 400 // fits the smallest ring's peers only piece by piece, and the default ring at once
	for _, k := range kinds {
		for _, tt := range tests {
			t.Run(k.name+"/"+tt.ending, func(t *testing.T) {
				c, child := withChild(t, &k.cfg, "send", k.name, "none", fmt.Sprint(count), tt.ending)
				if k.transport == shmwire.SharedMemory && k.cfg.RingBytes == 0 {
					child.Wait() // it is gone before we receive the first message
				}
				for i := range count {
					msg, err := c.Receive(bg, nil)
					require.NoError(t, err, "message %d", i)
					require.Equal(t, string(childMessage(i)), string(msg))
				}
				for range 2 {
					_, err := c.Receive(bg, nil)
					require.ErrorIs(t, err, tt.want)
					_, err = c.Read(make([]byte, 1))
					require.ErrorIs(t, err, tt.want)
				}
				wantSend := tt.want
				if tt.want == io.EOF {
					wantSend = io.ErrClosedPipe
				}
				shmtest.Eventually(t, "sending fails", func() bool { return c.Send(bg, nil) != nil })
				require.ErrorIs(t, c.Send(bg, nil), wantSend)
				if tt.want == shmwire.ErrPeerDied {
					require.ErrorIs(t, c.Send(bg, nil), io.ErrUnexpectedEOF)
					require.NotErrorIs(t, c.Send(bg, nil), io.ErrClosedPipe)
				}
			})
		}
	}
}

func TestDeathWakesBothSides(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			c, child := withChild(t, &k.cfg, "inherit")
			child.Line()
			sent := inBackground(func() (int, error) { return fill(c, bg) })
			shmtest.StillBlocked(t, sent, "a sender without room")
			received := inBackground(func() (int, error) { return c.Read(make([]byte, 1)) })
			shmtest.StillBlocked(t, received, "a receiver without a message")
			child.Kill()
			assert.ErrorIs(t, shmtest.Soon(t, sent, "the sender").err, shmwire.ErrPeerDied)
			assert.ErrorIs(t, shmtest.Soon(t, received, "the receiver").err, shmwire.ErrPeerDied)
		})
	}
}

func TestHalfClosedChild(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			c, child := withChild(t, &k.cfg, "send", k.name, "none", "3", "closewrite")
			for range 3 {
				mustReceive(t, c)
			}
			_, err := c.Receive(bg, nil)
			require.Equal(t, io.EOF, err)
			require.Equal(t, "closed", child.Line())
			require.NoError(t, c.CloseWrite())
			require.Equal(t, "true", child.Line(), "the child received our end")
			require.Zero(t, child.Wait())
		})
	}
}

func TestPeerOfAnInheritedSocket(t *testing.T) {
	c, child := withChild(t, nil, "inherit")
	assert.Equal(t, child.PID(), c.Peer().PID, "the child itself, not who made the socketpair")
	assert.Equal(t, os.Geteuid(), c.Peer().UID)
	assert.Equal(t, "true true", child.Line())
}

// roundTrips proves that a connection to an echoing child works, with messages of all sizes.
func roundTrips(t *testing.T, c *shmwire.Conn) {
	t.Helper()
	for _, n := range []int{0, 1, 64, 1000, c.MaxMessage() / 4, c.MaxMessage()} {
		msg := strings.Repeat("x", n)
		sent := inBackground(func() (int, error) { return 0, c.Send(bg, []byte(msg)) })
		require.Equal(t, msg, mustReceive(t, c))
		require.NoError(t, (<-sent).err)
	}
	require.ErrorIs(t, c.Send(bg, make([]byte, c.MaxMessage()+1)), shmwire.ErrTooLarge)
}

func TestFallbackWhereOneSideCannotShare(t *testing.T) {
	tests := []struct {
		fault  string
		reason string
	}{
		{"memfd_create-ENOSYS", "memfd_create: function not implemented"},
		{"memfd_create-EMFILE", "memfd_create: too many open files"},
		{"seals-EINVAL", "fcntl(F_ADD_SEALS): invalid argument"},
		{"seals-EPERM", "fcntl(F_ADD_SEALS): operation not permitted"},
		{"eventfd-ENOSYS", "eventfd"},
	}
	k := kindNamed("shm")
	for _, tt := range tests {
		for _, side := range []string{"ours", "the child's", "both"} {
			t.Run(tt.fault+"/"+side, func(t *testing.T) {
				ours, childs := tt.fault, tt.fault
				switch side {
				case "ours":
					childs = "none"
				case "the child's":
					ours = "none"
				}
				cfg := shmwire.WithFault(k.cfg, ours)
				c, child := withChild(t, cfg, "echo", k.name, childs)
				transport, reason := c.Transport()
				assert.Equal(t, shmwire.UnixSocket, transport)
				assert.Contains(t, reason, tt.reason)
				assert.Equal(t, side == "the child's", strings.HasPrefix(reason, "peer: "), reason)
				line := child.Line()
				assert.True(t, strings.HasPrefix(line, "unix "), line)
				assert.Contains(t, line, tt.reason)
				roundTrips(t, c)
				require.NoError(t, c.Close())
				assert.Zero(t, child.Wait())
			})
		}
	}
}

func TestRoundTripsBetweenProcesses(t *testing.T) {
	for _, ours := range kinds {
		for _, childs := range kinds {
			t.Run(ours.name+"/"+childs.name, func(t *testing.T) {
				c, child := withChild(t, &ours.cfg, "echo", childs.name, "none")
				transport, _ := c.Transport()
				want := max(ours.transport, childs.transport)
				assert.Equal(t, want, transport)
				assert.True(t, strings.HasPrefix(child.Line(), want.String()+" "))
				roundTrips(t, c)
				require.NoError(t, c.Close())
				assert.Zero(t, child.Wait())
			})
		}
	}
}

func TestInheritRefusesWhatIsNoSocket(t *testing.T) {
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer w.Close()
	// A child, since Inherit takes the descriptor over, which an *os.File of this process would not know.
	child := shmtest.ChildFiles(t, []*os.File{r}, "send", "shm", "none", "0", "close")
	require.NoError(t, r.Close())
	assert.Contains(t, child.Line(), "error: use descriptor 3 as a socket")
	assert.Equal(t, 1, child.Wait())

	before := shmtest.FDs(t)
	_, err = shmwire.Inherit(^uintptr(0), nil)
	assert.ErrorContains(t, err, "not valid")
	assert.Equal(t, before, shmtest.FDs(t))
}

func TestNewConnRefusesOtherNetworks(t *testing.T) {
	uc, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: shmtest.SocketPath(t), Net: "unixgram"})
	require.NoError(t, err)
	_, err = shmwire.NewConn(uc, nil)
	assert.ErrorContains(t, err, `"unixgram"`)
}
