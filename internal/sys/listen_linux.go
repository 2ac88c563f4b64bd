package sys

import (
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// ListenUnix binds a Unix stream socket to path, which must not exist, and listens. Only its owner can connect, from
// the first moment that anybody can: the mode stands before listen is called. Closing it leaves the file.
func ListenUnix(path string) (*net.UnixListener, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	f := os.NewFile(uintptr(fd), path)
	defer f.Close() // FileListener works on a duplicate
	// The mode of the unbound socket is the mode, less the umask, of the file that bind makes.
	if err := unix.Fchmod(fd, 0o600); err != nil {
		return nil, os.NewSyscallError("fchmod", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		return nil, os.NewSyscallError("bind", err)
	}
	ln, err := listen(f, fd, path)
	if err != nil {
		_ = unix.Unlink(path)
		return nil, err
	}
	return ln, nil
}

func listen(f *os.File, fd int, path string) (*net.UnixListener, error) {
	if err := unix.Chmod(path, 0o600); err != nil { // whatever the umask took away
		return nil, os.NewSyscallError("chmod", err)
	}
	if err := unix.Listen(fd, 4096); err != nil { // the kernel lowers it to net.core.somaxconn
		return nil, os.NewSyscallError("listen", err)
	}
	ln, err := net.FileListener(f)
	if err != nil {
		return nil, err
	}
	ul := ln.(*net.UnixListener)
	ul.SetUnlinkOnClose(false)
	return ul, nil
}
