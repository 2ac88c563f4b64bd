package shmtest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"syscall"
	"testing"
)

// NeedsFaultAddresses skips the test where the fault of a load behind the end of a truncated file does not tell its
// address. On Linux it always does; qemu-user on arm64 puts another one into the signal's context, which is where the
// Go runtime looks.
func NeedsFaultAddresses(t testing.TB) {
	t.Helper()
	tells, err := faultTellsAddress(t.TempDir())
	if err != nil {
		t.Fatalf("fault on purpose: %v", err)
	}
	if !tells {
		t.Skip("a SIGBUS does not tell its address here: qemu-user leaves fault_address in the signal's context as it was")
	}
}

// faultTellsAddress makes a fault in a file of its own in dir.
func faultTellsAddress(dir string) (tells bool, err error) {
	f, err := os.Create(filepath.Join(dir, "truncated"))
	if err != nil {
		return false, err
	}
	defer f.Close()
	size := os.Getpagesize()
	if err := f.Truncate(int64(size)); err != nil {
		return false, err
	}
	b, err := syscall.Mmap(int(f.Fd()), 0, size, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, syscall.Munmap(b)) }()
	if err := f.Truncate(0); err != nil {
		return false, err
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if cause := recover(); cause != nil {
			fault, ok := cause.(interface{ Addr() uintptr })
			tells, err = ok && fmt.Sprintf("%#x", fault.Addr()) == fmt.Sprintf("%p", b), nil
		}
	}()
	return false, fmt.Errorf("byte %d is there", b[0])
}

// NeedsSurplusClosed skips the test unless [SurplusIsClosed].
func NeedsSurplusClosed(t testing.TB) {
	t.Helper()
	if !SurplusIsClosed(t) {
		t.Skip("surplus descriptors stay open here: qemu-user forgets those that do not fit into the program's buffer")
	}
}

// SurplusIsClosed reports whether descriptors that arrive with a message and find no room in the receiver's buffer are
// closed. The kernel closes them; qemu-user receives into a larger buffer of its own and forgets those that do not fit
// into the program's: they stay open under numbers that nobody is told.
func SurplusIsClosed(t testing.TB) bool {
	t.Helper()
	closed, err := surplusIsClosed()
	if err != nil {
		t.Fatalf("receive more descriptors than there is room for: %v", err)
	}
	return closed
}

// surplusIsClosed sends duplicates of a socket over it and looks for any that nobody told of.
func surplusIsClosed() (closed bool, err error) {
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, syscall.Close(pair[0]), syscall.Close(pair[1])) }()
	const room, sent = 8, 64
	fds := make([]int, sent)
	for i := range fds {
		fds[i] = pair[0]
	}
	if err := syscall.Sendmsg(pair[0], []byte{0}, syscall.UnixRights(fds...), nil, 0); err != nil {
		return false, err
	}
	if err := receiveSome(pair[1], room); err != nil {
		return false, err
	}
	open, err := openFDs()
	if err != nil {
		return false, err
	}
	closed = true
	for fd, target := range open {
		if target == open[pair[0]] && fd != pair[0] {
			closed = false
			err = errors.Join(err, syscall.Close(fd))
		}
	}
	return closed, err
}

// receiveSome receives a message with room for so many descriptors and closes those that it is told of.
func receiveSome(fd, room int) error {
	oob := make([]byte, syscall.CmsgSpace(4*room))
	_, n, _, _, err := syscall.Recvmsg(fd, make([]byte, 1), oob, syscall.MSG_CMSG_CLOEXEC)
	if err != nil {
		return err
	}
	msgs, err := syscall.ParseSocketControlMessage(oob[:n])
	if err != nil {
		return err
	}
	for i := range msgs {
		told, err := syscall.ParseUnixRights(&msgs[i])
		if err != nil {
			return err
		}
		for _, fd := range told {
			if err := syscall.Close(fd); err != nil {
				return err
			}
		}
	}
	return nil
}
