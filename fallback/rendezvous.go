package fallback

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/shmwire/shmwire/internal/sys"
)

// MaxPath is the longest socket path in bytes: the kernel's 108 with the closing NUL.
const MaxPath = 107

// lockPatience bounds how long Listen waits for others that are starting on a path of the same directory.
const lockPatience = 5 * time.Second

// Rendezvous is a listening Unix socket whose file it owns. Its methods may be called from any goroutine.
type Rendezvous struct {
	ln   *net.UnixListener
	path string
	file os.FileInfo // the socket file as we made it
	gone sync.Once   // its removal: afterwards another socket may have its inode number
}

// Listen binds path and listens, readable and writable for its owner alone from the moment that it can be connected
// to. The file of a listener that died is replaced.
//
// It works under a lock on the directory, so of many processes that start at once on a dead path exactly one gets it.
//
// Errors: a path of 0 or more than [MaxPath] bytes or with a NUL in it; a path that exists and is no socket
// (Is [os.ErrExist]); a live listener (Is syscall.EADDRINUSE); what the file system says.
func Listen(path string) (*Rendezvous, error) {
	if err := CheckPath(path); err != nil {
		return nil, err
	}
	unlock, err := sys.LockDir(filepath.Dir(path), lockPatience)
	if err != nil {
		return nil, fmt.Errorf("lock the socket's directory: %w", err)
	}
	defer unlock()
	if err := clearDead(path); err != nil {
		return nil, err
	}
	ln, err := sys.ListenUnix(path)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	file, err := os.Lstat(path)
	if err != nil {
		ln.Close()
		return nil, fmt.Errorf("look at the new socket: %w", err)
	}
	return &Rendezvous{ln: ln, path: path, file: file}, nil
}

// CheckPath reports why path cannot name a socket, or nil.
func CheckPath(path string) error {
	switch {
	case path == "":
		return errors.New("socket path is empty")
	case len(path) > MaxPath:
		return fmt.Errorf("socket path has %d bytes, at most %d are possible: %.40q…", len(path), MaxPath, path)
	case strings.IndexByte(path, 0) >= 0:
		return fmt.Errorf("socket path contains a NUL: %q", path)
	case path[0] == '@':
		return fmt.Errorf("socket path %q is an abstract address, which no file mode protects", path)
	}
	return nil
}

// clearDead removes the socket file at path if nobody listens behind it. The caller holds the directory's lock, so
// nobody who uses this package stands between bind and listen.
func clearDead(path string) error {
	st, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at the socket path: %w", err)
	}
	if st.Mode().Type() != os.ModeSocket {
		return fmt.Errorf("%s exists and is no socket but a %s: %w", path, kindOf(st.Mode()), os.ErrExist)
	}
	conn, err := net.DialTimeout("unix", path, time.Second)
	switch {
	case err == nil:
		conn.Close()
		return fmt.Errorf("listen on %s: a listener is alive there: %w", path, os.NewSyscallError("bind", sys.EADDRINUSE))
	case errors.Is(err, sys.EAGAIN): // its backlog is full
		return fmt.Errorf("listen on %s: a busy listener is alive there: %w", path, os.NewSyscallError("bind", sys.EADDRINUSE))
	case errors.Is(err, sys.ECONNREFUSED), errors.Is(err, os.ErrNotExist):
	default:
		return fmt.Errorf("probe the socket at %s: %w", path, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove the dead socket: %w", err)
	}
	return nil
}

func kindOf(m os.FileMode) string {
	switch {
	case m.IsRegular():
		return "regular file"
	case m.IsDir():
		return "directory"
	case m.Type() == os.ModeSymlink:
		return "symbolic link"
	case m.Type() == os.ModeNamedPipe:
		return "named pipe"
	}
	return "special file (" + m.Type().String() + ")"
}

// Accept waits for a connection. After Close it returns an error that Is [net.ErrClosed].
func (r *Rendezvous) Accept() (*net.UnixConn, error) { return r.ln.AcceptUnix() }

// Addr returns the bound address.
func (r *Rendezvous) Addr() net.Addr { return r.ln.Addr() }

// Close removes the socket file, unless something else has taken its name, and stops listening. The file goes first:
// as long as we listen, no other listener takes our path for dead and puts its own file there.
func (r *Rendezvous) Close() error {
	r.gone.Do(func() {
		if st, err := os.Lstat(r.path); err == nil && os.SameFile(st, r.file) {
			_ = os.Remove(r.path)
		}
	})
	return r.ln.Close()
}
