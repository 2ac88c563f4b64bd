//go:build !linux

package sys

import (
	"errors"
	"fmt"
	"net"
	"runtime"
)

// CanPassFDs says whether descriptors and credentials can be passed here.
const CanPassFDs = false

// Socket sends and receives plain bytes here: passing descriptors and credentials is Linux's.
type Socket struct{ uc *net.UnixConn }

// NewSocket returns the Socket of uc.
func NewSocket(uc *net.UnixConn) (*Socket, error) { return &Socket{uc}, nil }

// PassCred does nothing here: the kernel attaches no credentials.
func (s *Socket) PassCred(bool) error { return nil }

// Check returns the error that a call which may wait would return at once: that the write deadline has passed, or that
// the connection is closed.
func (s *Socket) Check() error {
	rc, err := s.uc.SyscallConn()
	if err != nil {
		return err
	}
	return rc.Write(func(uintptr) bool { return true })
}

// SendMsg sends b whole. Descriptors are an error that Is [errors.ErrUnsupported].
func (s *Socket) SendMsg(b []byte, fds []int, _ bool) error {
	if len(fds) > 0 {
		return fmt.Errorf("pass descriptors on %s: %w", runtime.GOOS, errors.ErrUnsupported)
	}
	_, err := s.uc.Write(b)
	return err
}

// RecvMsg receives at most len(b) bytes. Looking without taking is an error that Is [errors.ErrUnsupported].
func (s *Socket) RecvMsg(b []byte, peek bool) (Received, error) {
	if peek {
		return Received{}, fmt.Errorf("peek at a message on %s: %w", runtime.GOOS, errors.ErrUnsupported)
	}
	n, err := s.uc.Read(b)
	return Received{N: n}, err
}

// Ring is an error that Is [errors.ErrUnsupported]: there is no shared memory to ring for.
func (s *Socket) Ring() error {
	return fmt.Errorf("ring on %s: %w", runtime.GOOS, errors.ErrUnsupported)
}

// TrySend is an error that Is [errors.ErrUnsupported].
func (s *Socket) TrySend([]byte) (bool, error) {
	return false, fmt.Errorf("send without waiting on %s: %w", runtime.GOOS, errors.ErrUnsupported)
}

// OverflowUID returns -1: there are no user namespaces here.
func OverflowUID() int { return -1 }

// CloseFDs does nothing: none was received.
func CloseFDs([]int) {}
