package sys

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Pin holds on to the file that path leads to, symbolic links followed, without opening it: the file system that it
// lies on, which may be a stranger's own program, is not asked and cannot keep us waiting. The caller closes the
// descriptor with [Close].
func Pin(path string) (fd int, err error) {
	return value("open", func() (int, error) { return unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0) })
}

// StatPinned returns what the kernel itself knows of the file behind fd, again without asking its file system.
func StatPinned(fd int) (Stat, error) {
	var st unix.Statx_t
	const flags = unix.AT_EMPTY_PATH | unix.AT_STATX_DONT_SYNC
	err := plain("statx", func() error { return unix.Statx(fd, "", flags, unix.STATX_BASIC_STATS, &st) })
	if err != nil {
		return Stat{}, err
	}
	return Stat{
		Dev: Device(st.Dev_major, st.Dev_minor), Ino: st.Ino, Nlink: uint64(st.Nlink),
		Size: int64(st.Size), Mode: uint32(st.Mode),
	}, nil
}

// OpenPinned opens the file behind fd, which came from [Pin], for reading.
func OpenPinned(fd int) (*os.File, error) {
	return openFile("/proc/self/fd/"+strconv.Itoa(fd), 0)
}

// OpenReadOnly opens the file at path for reading. It follows no symbolic link in the last place, waits for nobody at
// the other end of a FIFO, and takes no terminal over.
func OpenReadOnly(path string) (*os.File, error) { return openFile(path, unix.O_NOFOLLOW) }

func openFile(path string, flags int) (*os.File, error) {
	flags |= unix.O_RDONLY | unix.O_CLOEXEC | unix.O_NONBLOCK | unix.O_NOCTTY
	fd, err := value("open", func() (int, error) { return unix.Open(path, flags, 0) })
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), path), nil
}

// Device makes the number of a device as in [Stat] from its two halves.
func Device(major, minor uint32) uint64 { return unix.Mkdev(major, minor) }
