package fallback_test

import (
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/shmwire/shmwire/fallback"
	"github.com/shmwire/shmwire/internal/shmtest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// TestListenOnTheLongestPath: the limit is the kernel's, to the byte.
func TestListenOnTheLongestPath(t *testing.T) {
	dir := filepath.Dir(shmtest.SocketPath(t))
	path := filepath.Join(dir, strings.Repeat("x", fallback.MaxPath-len(dir)-1))
	require.Len(t, path, 107)
	r := mustListen(t, path)
	dial(t, path)
	require.NoError(t, r.Close())
	assert.NoFileExists(t, path)

	_, err := fallback.Listen(path + "x")
	require.ErrorContains(t, err, "socket path has 108 bytes, at most 107 are possible")
	_, err = net.Listen("unix", path+"x")
	require.Error(t, err, "the kernel takes longer paths than we do")
}

func TestListenModeWhateverTheUmask(t *testing.T) {
	for _, mask := range []int{0, 0o022, 0o077, 0o177, 0o777} {
		t.Run(fmt.Sprintf("%04o", mask), func(t *testing.T) {
			path := shmtest.SocketPath(t)
			old := syscall.Umask(mask)
			r, err := fallback.Listen(path)
			syscall.Umask(old)
			require.NoError(t, err)
			defer r.Close()
			st, err := os.Lstat(path)
			require.NoError(t, err)
			assert.Equal(t, fs.FileMode(0o600)|fs.ModeSocket, st.Mode())
		})
	}
}

func TestListenKeepsOtherUsersOut(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can become another user")
	}
	path := shmtest.SocketPath(t)
	require.NoError(t, os.Chmod(filepath.Dir(path), 0o755))
	mustListen(t, path)
	assert.Equal(t, "permission denied", shmtest.Child(t, "dial", path, "4711").Line())
	require.NoError(t, os.Chmod(path, 0o666))
	assert.Equal(t, "connected", shmtest.Child(t, "dial", path, "4711").Line(), "it was something else that kept it out")
}

// TestListenOnABusyPath: a listener whose backlog is full refuses to connect, but lives.
func TestListenOnABusyPath(t *testing.T) {
	path := shmtest.SocketPath(t)
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	defer unix.Close(fd)
	require.NoError(t, unix.Bind(fd, &unix.SockaddrUnix{Name: path}))
	require.NoError(t, unix.Listen(fd, 0))
	for {
		c, err := net.Dial("unix", path)
		if err != nil {
			require.ErrorIs(t, err, syscall.EAGAIN)
			break
		}
		defer c.Close()
	}
	_, err = fallback.Listen(path)
	require.ErrorIs(t, err, syscall.EADDRINUSE)
	assert.EqualError(t, err, "listen on "+path+": a busy listener is alive there: bind: address already in use")
}

// TestListenOnAnotherKindOfSocket cannot tell whether somebody lives behind it, so it leaves it alone.
func TestListenOnAnotherKindOfSocket(t *testing.T) {
	path := shmtest.SocketPath(t)
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	require.NoError(t, err)
	defer c.Close()
	_, err = fallback.Listen(path)
	require.ErrorIs(t, err, syscall.EPROTOTYPE)
	require.ErrorContains(t, err, "probe the socket at "+path+": ")
	assert.FileExists(t, path)
}

// TestListenAfterTheLockHolderDied: a process that was killed while it started keeps nobody out.
func TestListenAfterTheLockHolderDied(t *testing.T) {
	path := shmtest.SocketPath(t)
	child := shmtest.Child(t, "lock", filepath.Dir(path))
	require.Equal(t, "locked", child.Line())
	listening := async(func() error {
		r, err := fallback.Listen(path)
		if err == nil {
			err = r.Close()
		}
		return err
	})
	shmtest.StillBlocked(t, listening, "Listen")
	child.Kill()
	assert.NoError(t, shmtest.Soon(t, listening, "Listen"))
}

// TestListenManyAtOnce: of many processes that start at once on a dead path exactly one listens.
func TestListenManyAtOnce(t *testing.T) {
	const processes, rounds = 16, 20
	path := shmtest.SocketPath(t)
	deadSocket(t, path)
	children := make([]*shmtest.Process, processes)
	start := func(i int) { children[i] = shmtest.Child(t, "listen", path) }
	for i := range children {
		start(i)
	}
	for _, c := range children {
		require.Equal(t, "ready", c.Line())
	}
	for round := range rounds {
		at := time.Now().Add(10 * time.Millisecond)
		for _, c := range children {
			c.Send(strconv.FormatInt(at.UnixNano(), 10))
		}
		winner, lines := -1, map[string]int{}
		for i, c := range children {
			line := c.Line()
			lines[line]++
			if line == "listening" {
				winner = i
			}
		}
		require.Equal(t, map[string]int{"listening": 1, "in use": processes - 1}, lines, "round %d", round)
		dial(t, path)

		children[winner].Kill() // and its path is dead again
		require.FileExists(t, path)
		_, err := net.Dial("unix", path)
		require.ErrorIs(t, err, syscall.ECONNREFUSED)
		start(winner)
		require.Equal(t, "ready", children[winner].Line())
	}
}
