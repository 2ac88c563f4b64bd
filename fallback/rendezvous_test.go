package fallback_test

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/shmwire/shmwire/fallback"
	"github.com/shmwire/shmwire/internal/shmtest"
	"github.com/shmwire/shmwire/internal/sys"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func mustListen(t testing.TB, path string) *fallback.Rendezvous {
	t.Helper()
	r, err := fallback.Listen(path)
	require.NoError(t, err)
	t.Cleanup(func() { _ = r.Close() })
	return r
}

// deadSocket leaves a socket file at path with nobody behind it.
func deadSocket(t testing.TB, path string) {
	t.Helper()
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	require.NoError(t, err)
	ln.SetUnlinkOnClose(false)
	require.NoError(t, ln.Close())
	require.FileExists(t, path)
}

func dial(t testing.TB, path string) *net.UnixConn {
	t.Helper()
	c, err := net.Dial("unix", path)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c.(*net.UnixConn)
}

func TestCheckPath(t *testing.T) {
	tests := []struct{ name, path, want string }{
		{"plain", "/run/s", ""},
		{"relative", "s", ""},
		{"longest", strings.Repeat("x", 107), ""},
		{"empty", "", "socket path is empty"},
		{"too long", strings.Repeat("x", 108), "socket path has 108 bytes, at most 107 are possible: \"" + strings.Repeat("x", 40) + "\"…"},
		{"too long in bytes", strings.Repeat("é", 54), "socket path has 108 bytes, at most 107 are possible: \"" + strings.Repeat("é", 40) + "\"…"},
		{"NUL", "/run/a\x00b", `socket path contains a NUL: "/run/a\x00b"`},
		{"abstract", "@shmwire", `socket path "@shmwire" is an abstract address, which no file mode protects`},
		{"abstract as the kernel writes it", "\x00shmwire", `socket path contains a NUL: "\x00shmwire"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := fallback.CheckPath(tt.path)
			if tt.want == "" {
				assert.NoError(t, err)
				return
			}
			assert.EqualError(t, err, tt.want)
			r, err := fallback.Listen(tt.path)
			assert.Nil(t, r)
			assert.EqualError(t, err, tt.want)
		})
	}
}

func TestListenAndAccept(t *testing.T) {
	path := shmtest.SocketPath(t)
	r := mustListen(t, path)
	assert.Equal(t, &net.UnixAddr{Name: path, Net: "unix"}, r.Addr())
	for range 3 {
		theirs := dial(t, path)
		ours, err := r.Accept()
		require.NoError(t, err)
		_, err = theirs.Write([]byte("hello"))
		require.NoError(t, err)
		buf := make([]byte, 10)
		n, err := ours.Read(buf)
		require.NoError(t, err)
		assert.Equal(t, "hello", string(buf[:n]))
		require.NoError(t, ours.Close())
	}
	waiting := async(func() error { _, err := r.Accept(); return err })
	shmtest.StillBlocked(t, waiting, "Accept")
	require.NoError(t, r.Close())
	assert.ErrorIs(t, shmtest.Soon(t, waiting, "Accept"), net.ErrClosed)
	assert.NoFileExists(t, path)
	assert.ErrorIs(t, r.Close(), net.ErrClosed)
}

func TestListenOnALivePath(t *testing.T) {
	path := shmtest.SocketPath(t)
	mustListen(t, path)
	r, err := fallback.Listen(path)
	require.ErrorIs(t, err, sys.EADDRINUSE)
	assert.Nil(t, r)
	assert.EqualError(t, err, "listen on "+path+": a listener is alive there: bind: "+sys.EADDRINUSE.Error())
	dial(t, path) // the first one is unharmed
}

// TestListenOnALivePathOfOthers: a listener that is none of ours and not even accepting is alive all the same.
func TestListenOnALivePathOfOthers(t *testing.T) {
	path := shmtest.SocketPath(t)
	ln, err := net.Listen("unix", path)
	require.NoError(t, err)
	defer ln.Close()
	_, err = fallback.Listen(path)
	require.ErrorIs(t, err, sys.EADDRINUSE)
	assert.FileExists(t, path)
}

func TestListenReplacesTheDead(t *testing.T) {
	path := shmtest.SocketPath(t)
	deadSocket(t, path)
	before, err := os.Lstat(path)
	require.NoError(t, err)
	mustListen(t, path)
	after, err := os.Lstat(path)
	require.NoError(t, err)
	assert.Equal(t, fs.ModeSocket, after.Mode().Type())
	assert.False(t, os.SameFile(before, after) && before.ModTime().Equal(after.ModTime()))
	dial(t, path)
}

// TestListenAgain: one after the other, in one process.
func TestListenAgain(t *testing.T) {
	path := shmtest.SocketPath(t)
	for range 5 {
		r := mustListen(t, path)
		dial(t, path)
		require.NoError(t, r.Close())
	}
}

// TestListenLeavesOthersAlone: what is no socket is refused by name and not touched.
func TestListenLeavesOthersAlone(t *testing.T) {
	tests := []struct {
		name, kind string
		make       func(t *testing.T, path string) error
	}{
		{"file", "regular file", func(_ *testing.T, path string) error { return os.WriteFile(path, []byte("precious"), 0o640) }},
		{"empty file", "regular file", func(_ *testing.T, path string) error { return os.WriteFile(path, nil, 0o600) }},
		{"directory", "directory", func(_ *testing.T, path string) error { return os.Mkdir(path, 0o700) }},
		{"link to nothing", "symbolic link", func(_ *testing.T, path string) error { return os.Symlink("nowhere", path) }},
		{"link to a dead socket", "symbolic link", func(t *testing.T, path string) error {
			deadSocket(t, path+"2")
			return os.Symlink(path+"2", path)
		}},
		{"link to a live socket", "symbolic link", func(t *testing.T, path string) error {
			mustListen(t, path+"2")
			return os.Symlink(path+"2", path)
		}},
		{"named pipe", "named pipe", makePipe},
		{"link to a device", "symbolic link", func(_ *testing.T, path string) error { return os.Symlink(os.DevNull, path) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := shmtest.SocketPath(t)
			if err := tt.make(t, path); errors.Is(err, errors.ErrUnsupported) {
				t.Skip(err)
			} else {
				require.NoError(t, err)
			}
			before := listing(t, filepath.Dir(path))
			r, err := fallback.Listen(path)
			assert.Nil(t, r)
			require.ErrorIs(t, err, os.ErrExist)
			assert.EqualError(t, err, path+" exists and is no socket but a "+tt.kind+": "+os.ErrExist.Error())
			assert.Equal(t, before, listing(t, filepath.Dir(path)))
		})
	}
}

// listing returns what is in dir, to see that it is left as it was.
func listing(t *testing.T, dir string) (lines []string) {
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range entries {
		info, err := e.Info()
		require.NoError(t, err)
		lines = append(lines, fs.FormatFileInfo(info))
	}
	return lines
}

func TestListenWhereItCannot(t *testing.T) {
	missing := filepath.Join(filepath.Dir(shmtest.SocketPath(t)), "missing", "s")
	_, err := fallback.Listen(missing)
	require.ErrorIs(t, err, os.ErrNotExist)
	if runtime.GOOS == "linux" {
		assert.EqualError(t, err, "lock the socket's directory: open "+filepath.Dir(missing)+": no such file or directory")
	}

	file := shmtest.SocketPath(t)
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err = fallback.Listen(filepath.Join(file, "s"))
	assert.Error(t, err)
}

// TestListenWaitsForTheLock: another process is starting on a path of the same directory.
func TestListenWaitsForTheLock(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("directories cannot be locked here")
	}
	path := shmtest.SocketPath(t)
	unlock, err := sys.LockDir(filepath.Dir(path), 0)
	require.NoError(t, err)
	listening := async(func() error {
		r, err := fallback.Listen(path)
		if err == nil {
			err = r.Close()
		}
		return err
	})
	shmtest.StillBlocked(t, listening, "Listen")
	unlock()
	assert.NoError(t, shmtest.Soon(t, listening, "Listen"))
}

// TestListenLeavesTheLockFree also where it fails, or the next one waits for ever.
func TestListenLeavesTheLockFree(t *testing.T) {
	path := shmtest.SocketPath(t)
	free := func() {
		t.Helper()
		unlock, err := sys.LockDir(filepath.Dir(path), 0)
		require.NoError(t, err)
		unlock()
	}
	mustListen(t, path)
	free()
	_, err := fallback.Listen(path)
	require.Error(t, err)
	free()
}

// TestCloseLeavesAnothersSocket: what stands at our path by then is not ours.
func TestCloseLeavesAnothersSocket(t *testing.T) {
	t.Run("a socket", func(t *testing.T) {
		path := shmtest.SocketPath(t)
		first := mustListen(t, path)
		require.NoError(t, os.Remove(path))
		mustListen(t, path)
		require.NoError(t, first.Close())
		dial(t, path)
	})
	t.Run("a file", func(t *testing.T) {
		path := shmtest.SocketPath(t)
		first := mustListen(t, path)
		require.NoError(t, os.Remove(path))
		require.NoError(t, os.WriteFile(path, []byte("precious"), 0o600))
		require.NoError(t, first.Close())
		assert.FileExists(t, path)
	})
	t.Run("nothing", func(t *testing.T) {
		path := shmtest.SocketPath(t)
		first := mustListen(t, path)
		require.NoError(t, os.Remove(path))
		require.NoError(t, first.Close())
	})
	t.Run("a socket, closed twice", func(t *testing.T) {
		path := shmtest.SocketPath(t)
		first := mustListen(t, path)
		require.NoError(t, first.Close())
		mustListen(t, path)
		require.ErrorIs(t, first.Close(), net.ErrClosed)
		dial(t, path)
	})
}
