//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package sys

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// LockDir takes the exclusive flock of directory dir, trying for at most patience, and returns what gives it back.
// The lock leaves no file behind and ends with the process. A lock that somebody else holds all the time is an error
// that Is [os.ErrDeadlineExceeded].
func LockDir(dir string, patience time.Duration) (unlock func(), err error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	rc, err := f.SyscallConn()
	if err != nil {
		f.Close()
		return nil, err
	}
	for end := time.Now().Add(patience); ; {
		var lerr error
		err := rc.Control(func(fd uintptr) { lerr = unix.Flock(int(fd), unix.LOCK_EX|unix.LOCK_NB) })
		if err == nil && lerr == nil {
			return func() { f.Close() }, nil
		}
		if err == nil && lerr != unix.EWOULDBLOCK && lerr != unix.EINTR {
			err = &os.PathError{Op: "flock", Path: dir, Err: lerr}
		} else if err == nil && time.Now().After(end) {
			err = &os.PathError{Op: "flock", Path: dir, Err: os.ErrDeadlineExceeded}
		}
		if err != nil {
			f.Close()
			return nil, err
		}
		time.Sleep(2 * time.Millisecond)
	}
}
