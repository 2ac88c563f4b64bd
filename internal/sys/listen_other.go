//go:build !linux

package sys

import (
	"net"
	"os"
)

// ListenUnix binds a Unix stream socket to path, which must not exist, and listens; then it takes everybody else's
// rights to it away. Closing it leaves the file.
func ListenUnix(path string) (*net.UnixListener, error) {
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, err
	}
	if l, ok := any(ln).(interface{ SetUnlinkOnClose(bool) }); ok { // not on Plan 9
		l.SetUnlinkOnClose(false)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		ln.Close()
		os.Remove(path)
		return nil, err
	}
	return ln, nil
}
