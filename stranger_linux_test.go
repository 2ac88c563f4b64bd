package shmwire_test

import (
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"github.com/shmwire/shmwire"
	"github.com/shmwire/shmwire/internal/shmtest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const strangerUID = 54321

// strangerRole becomes another user, dials a path and echoes: path, way of waiting.
func strangerRole(args []string) int {
	if err := syscall.Setgroups(nil); err != nil {
		return fail(err)
	}
	if err := syscall.Setresgid(strangerUID, strangerUID, strangerUID); err != nil {
		return fail(err)
	}
	if err := syscall.Setresuid(strangerUID, strangerUID, strangerUID); err != nil {
		return fail(err)
	}
	wait, _ := strconv.Atoi(args[1])
	c, err := shmwire.Dial(bg, args[0], &shmwire.Config{
		Wait:      shmwire.Wait(wait),
		Authorize: func(shmwire.Peer) error { return nil },
	})
	if err != nil {
		return fail(err)
	}
	transport, reason := c.Transport()
	say(transport, reason)
	if err := echo(c); err != nil {
		return fail(err)
	}
	return 0
}

// openToAll listens at a path that every user can connect to.
func openToAll(t *testing.T, cfg *shmwire.Config) (*shmwire.Listener, string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can start a process of another user")
	}
	ln, path := mustListen(t, cfg)
	require.NoError(t, os.Chmod(filepath.Dir(path), 0o755))
	require.NoError(t, os.Chmod(path, 0o666))
	return ln, path
}

func TestStrangersAreRefusedByDefault(t *testing.T) {
	cfg, rejected := rejections()
	who := make(chan shmwire.Peer, 1)
	onReject := cfg.OnReject
	cfg.OnReject = func(p shmwire.Peer, err error) { who <- p; onReject(p, err) }
	_, path := openToAll(t, cfg)
	child := shmtest.Child(t, "stranger", path, "0")
	assert.Contains(t, child.Line(), "error: dial unix")
	assert.Equal(t, shmwire.Peer{PID: child.PID(), UID: strangerUID, GID: strangerUID}, shmtest.Soon(t, who, "the peer"))
	err := shmtest.Soon(t, rejected, "the rejection")
	var he *shmwire.HandshakeError
	require.ErrorAs(t, err, &he)
	assert.Equal(t, "credentials", he.Stage)
}

func TestStrangersMayNotEvenConnectBecauseOfTheMode(t *testing.T) {
	_, path := openToAll(t, nil)
	require.NoError(t, os.Chmod(path, 0o600))
	child := shmtest.Child(t, "stranger", path, "0")
	assert.Contains(t, child.Line(), "permission denied")
}

// With strangers every doorbell is a byte on the socket, whatever the sides wish, and the memory is shared all the
// same.
func TestStrangersShareMemoryButNoDoorbells(t *testing.T) {
	for _, wait := range []shmwire.Wait{shmwire.WaitAdaptive, shmwire.WaitFutex, shmwire.WaitSpin} {
		t.Run(wait.String(), func(t *testing.T) {
			ln, path := openToAll(t, &shmwire.Config{Authorize: func(shmwire.Peer) error { return nil }})
			child := shmtest.Child(t, "stranger", path, strconv.Itoa(int(wait)))
			c, err := ln.AcceptConn()
			require.NoError(t, err)
			assert.Equal(t, strangerUID, c.Peer().UID)
			before := eventfds(t)
			assert.Zero(t, before, "no eventfd is shared with a stranger")
			transport, reason := c.Transport()
			assert.Equal(t, shmwire.SharedMemory, transport)
			assert.Equal(t, "woken by socket", reason)
			want := "shm woken by socket"
			if wait == shmwire.WaitSpin {
				want = "shm woken by never"
			}
			assert.Equal(t, want, child.Line())
			for range 20 {
				roundTrips(t, c)
			}
			received := inBackground(func() (int, error) { return c.Read(make([]byte, 1)) })
			shmtest.StillBlocked(t, received, "a receiver")
			child.Kill()
			assert.ErrorIs(t, shmtest.Soon(t, received, "the receiver").err, shmwire.ErrPeerDied)
			require.NoError(t, c.Close())
		})
	}
}

// eventfds counts this process's eventfds beside the one of Go's poller.
func eventfds(t *testing.T) (n int) {
	t.Helper()
	for _, target := range shmtest.FDs(t) {
		if target == "anon_inode:[eventfd]" {
			n++
		}
	}
	return n - 1
}
