package sys

import (
	"encoding/binary"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// eventfdLink is what /proc/self/fd shows for an eventfd.
const eventfdLink = "anon_inode:[eventfd]"

// eventfdCreate returns a new non-blocking eventfd whose counter is 0.
func eventfdCreate() (int, error) {
	return unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
}

// EventfdDrain sets the counter of a non-blocking eventfd to 0 and returns what it was; 0 means that nothing was
// pending.
func EventfdDrain(fd int) (uint64, error) {
	var buf [8]byte
	for {
		_, err := unix.Read(fd, buf[:])
		switch err {
		case nil:
			return binary.NativeEndian.Uint64(buf[:]), nil
		case unix.EAGAIN:
			return 0, nil
		case unix.EINTR:
		default:
			return 0, wrap("read eventfd", err)
		}
	}
}

// EventfdRing adds 1 to the counter of a non-blocking eventfd. A full counter is no error: a ring is pending then.
func EventfdRing(fd int) error {
	var one [8]byte
	binary.NativeEndian.PutUint64(one[:], 1)
	for {
		_, err := unix.Write(fd, one[:])
		switch err {
		case nil, unix.EAGAIN:
			return nil
		case unix.EINTR:
		default:
			return wrap("write eventfd", err)
		}
	}
}

// EventfdAdopt checks that a descriptor received from elsewhere is an eventfd, and makes it non-blocking if it is.
// kind is what it is in the words of /proc/self/fd: "socket:[1234]", "/dev/zero".
func EventfdAdopt(fd int) (kind string, ok bool, err error) {
	kind, err = os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
	if err != nil || kind != eventfdLink {
		return kind, false, err
	}
	err = plain("fcntl(O_NONBLOCK)", func() error { return unix.SetNonblock(fd, true) })
	return kind, err == nil, err
}

// EventfdDup returns another descriptor of the same eventfd, closed on exec. The caller owns it.
func EventfdDup(fd int) (int, error) {
	return value("fcntl(F_DUPFD_CLOEXEC)", func() (int, error) {
		return unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	})
}
