//go:build !linux

package sys

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
)

// Socketpair returns two connected Unix stream sockets. It makes them over a socket file of its own, which is gone
// when it returns, because that works on every system that has Unix sockets.
func Socketpair() (a, b *net.UnixConn, err error) {
	dir, err := os.MkdirTemp("", "shmwire")
	if err != nil {
		return nil, nil, err
	}
	defer os.RemoveAll(dir)
	addr := &net.UnixAddr{Name: filepath.Join(dir, "s"), Net: "unix"}
	ln, err := net.ListenUnix("unix", addr)
	if err != nil {
		return nil, nil, err
	}
	defer ln.Close()
	if a, err = net.DialUnix("unix", nil, addr); err != nil {
		return nil, nil, fmt.Errorf("connect the pair: %w", err)
	}
	if b, err = ln.AcceptUnix(); err != nil {
		a.Close()
		return nil, nil, fmt.Errorf("connect the pair: %w", err)
	}
	return a, b, nil
}
