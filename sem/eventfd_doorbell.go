package sem

import (
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/shmwire/shmwire/internal/sys"
)

// DescriptorError is returned when a descriptor that should be an eventfd is something else.
type DescriptorError struct {
	Got string // what it is, as /proc/self/fd shows it: "pipe:[4711]", "/dev/zero"
}

// Error tells what the descriptor is instead.
func (e *DescriptorError) Error() string {
	return fmt.Sprintf("descriptor is %q, want an eventfd", e.Got)
}

// EventfdDoorbell rings an eventfd received from the peer, who waits on it with an [Eventfd]. Any number of goroutines
// may call Ring and Close at any time.
type EventfdDoorbell struct {
	fd int // not an os.File: the poller would wake this process for every ring and every read of the peer
	// Twice the number of Rings under way, plus 1 once closed. Whoever brings it to 1 closes fd.
	users atomic.Int64
}

var _ Doorbell = (*EventfdDoorbell)(nil)

// NewEventfdDoorbell returns a doorbell that rings the eventfd fd and closes it in the end. It takes fd over also when
// it fails: with a *[DescriptorError] if fd is no eventfd, with an error that Is [errors.ErrUnsupported] where there
// are none. It makes the eventfd non-blocking, for the peer too.
func NewEventfdDoorbell(fd int) (*EventfdDoorbell, error) {
	kind, ok, err := sys.EventfdAdopt(fd)
	if err == nil && !ok {
		err = &DescriptorError{Got: kind}
	}
	if err != nil {
		// That fd is not what it should be matters more than whether it can be closed.
		_ = sys.Close(fd)
		return nil, fmt.Errorf("take over eventfd: %w", err)
	}
	return &EventfdDoorbell{fd: fd}, nil
}

// Ring adds one to the eventfd's counter. After Close it does nothing.
func (b *EventfdDoorbell) Ring() {
	if !b.acquire() {
		return
	}
	// It cannot fail: fd is an open eventfd and the value is 1. A full counter wakes the peer anyway.
	_ = sys.EventfdRing(b.fd)
	if b.users.Add(-2) == 1 {
		_ = b.closeFD()
	}
}

// acquire keeps fd open until users is lowered by 2. It reports false if the doorbell is closed.
func (b *EventfdDoorbell) acquire() bool {
	for {
		users := b.users.Load()
		if users&1 == 1 {
			return false
		}
		if b.users.CompareAndSwap(users, users+2) {
			return true
		}
	}
}

// Close closes the eventfd, once the Rings under way have returned. Closing again does nothing.
func (b *EventfdDoorbell) Close() error {
	for {
		users := b.users.Load()
		switch {
		case users&1 == 1:
			return nil
		case !b.users.CompareAndSwap(users, users+1):
			continue
		case users == 0:
			return b.closeFD()
		}
		return nil // the last Ring closes
	}
}

func (b *EventfdDoorbell) closeFD() error {
	if err := sys.Close(b.fd); err != nil && !errors.Is(err, sys.EINTR) {
		return fmt.Errorf("close eventfd: %w", err)
	}
	return nil
}
