package sys

import (
	"io"

	"golang.org/x/sys/unix"
)

func openDir(path string) (int, error) {
	return unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
}

func createAt(dir int, name string) (int, error) {
	const flags = unix.O_RDWR | unix.O_CREAT | unix.O_EXCL | unix.O_NOFOLLOW | unix.O_CLOEXEC
	return unix.Openat(dir, name, flags, 0o600)
}

func openAt(dir int, name string, readOnly bool) (int, error) {
	flags := unix.O_NOFOLLOW | unix.O_CLOEXEC | unix.O_NONBLOCK | unix.O_NOCTTY
	if readOnly {
		flags |= unix.O_RDONLY
	} else {
		flags |= unix.O_RDWR
	}
	return unix.Openat(dir, name, flags, 0)
}

func statAt(dir int, name string) (Stat, error) {
	var st unix.Stat_t
	if err := unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return Stat{}, err
	}
	return statOf(&st), nil
}

func renameAt(dir int, from, to string) error {
	return unix.Renameat2(dir, from, dir, to, unix.RENAME_NOREPLACE)
}

func linkAt(dir int, from, to string) error { return unix.Linkat(dir, from, dir, to, 0) }

func unlinkAt(dir int, name string) error { return unix.Unlinkat(dir, name, 0) }

func fchmod(fd int, mode uint32) error { return unix.Fchmod(fd, mode) }

func lockByte(fd int, exclusive bool, at int64) error {
	lock := unix.Flock_t{Type: unix.F_RDLCK, Whence: io.SeekStart, Start: at, Len: 1}
	if exclusive {
		lock.Type = unix.F_WRLCK
	}
	return unix.FcntlFlock(uintptr(fd), unix.F_OFD_SETLK, &lock)
}

func pread(fd int, b []byte, at int64) (int, error) { return unix.Pread(fd, b, at) }
