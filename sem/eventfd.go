package sem

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/shmwire/shmwire/internal/sys"
)

// Eventfd waits for its own eventfd, which it gives to the peer to ring. A waiting goroutine costs no thread: it sleeps
// in the runtime's poller.
//
// An eventfd is for processes that trust each other: the peer shares its open file description and could make it
// blocking, or fill its counter. One goroutine waits on an eventfd; a second reader, in whatever process, would
// swallow rings.
type Eventfd struct {
	private
	file   *os.File
	fd     int // file's descriptor; not File.Fd(), which may make it blocking
	raw    rawConn
	drains uint32 // how often a Wait emptied the counter: the doorbell's value; the sleeper's
	timed  bool   // a read deadline may be set; the sleeper's
	failed error  // of the last drain; the sleeper's

	cut atomic.Bool // Interrupt has moved the read deadline to the past, or is about to

	drainFunc func(fd uintptr) bool // stored because a closure made for each call would be allocated
}

// rawConn is the part used of what os.File.SyscallConn returns.
type rawConn interface {
	Control(call func(fd uintptr)) error
	Read(call func(fd uintptr) bool) error
}

var _ Waiter = (*Eventfd)(nil)

// NewEventfd returns a waiter with a new eventfd, closed on exec. t stands for the system calls; nil means the real
// ones. The error Is [errors.ErrUnsupported] where there are no eventfds.
func NewEventfd(t *sys.Table) (*Eventfd, error) {
	fd, err := t.NewEventfd()
	if err != nil {
		return nil, fmt.Errorf("make eventfd: %w", err)
	}
	e := &Eventfd{fd: fd, file: os.NewFile(uintptr(fd), "eventfd")}
	e.drainFunc = e.drain
	// Fails if the poller does not know the file: then Wait would hold a thread and ignore its timeout.
	if err := e.file.SetReadDeadline(time.Time{}); err != nil {
		return nil, errors.Join(fmt.Errorf("register eventfd with the poller: %w", err), e.file.Close())
	}
	if e.raw, err = e.file.SyscallConn(); err != nil {
		return nil, errors.Join(fmt.Errorf("use eventfd: %w", err), e.file.Close())
	}
	return e, nil
}

// FD returns the number of the eventfd, to be sent to the peer, who rings it with [NewEventfdDoorbell]. The Eventfd
// keeps owning it; it is valid until Close.
func (e *Eventfd) FD() int { return e.fd }

// Dup returns another descriptor of the eventfd, closed on exec and owned by the caller: for a doorbell in this process
// ([NewEventfdDoorbell] takes over what it is given). The error Is [os.ErrClosed] after Close.
func (e *Eventfd) Dup() (int, error) {
	var dup int
	var failed error
	if err := e.raw.Control(func(fd uintptr) { dup, failed = sys.EventfdDup(int(fd)) }); err != nil {
		return -1, os.ErrClosed
	}
	if failed != nil {
		return -1, fmt.Errorf("duplicate eventfd: %w", failed)
	}
	return dup, nil
}

// Load begins a wait. It makes no system call: a ring from before, not yet taken, makes the next Wait return at once.
func (e *Eventfd) Load() uint32 {
	if !e.enter() {
		return 0
	}
	defer e.leave()
	e.note()
	return e.drains
}

func (e *Eventfd) value() uint32 { return e.drains }

// Wait sleeps until the eventfd is rung and takes all rings that are pending.
func (e *Eventfd) Wait(value uint32, timeout time.Duration) error {
	if !e.enter() {
		return os.ErrClosed
	}
	defer e.leave()
	if value != e.drains {
		return nil
	}
	err := e.setTimeout(timeout)
	// Asked after the deadline is right: an Interrupt that this undid is seen here, and one that comes later moves the
	// deadline again.
	if err == nil && e.interrupted() {
		return nil
	}
	if err == nil {
		err = e.raw.Read(e.drainFunc)
	}
	if err == nil {
		err = e.failed
	}
	switch {
	case e.closed.Load():
		return os.ErrClosed
	case errors.Is(err, os.ErrDeadlineExceeded):
		e.timed = true // whoever set it
	case err != nil:
		return fmt.Errorf("wait for eventfd: %w", err)
	}
	return nil
}

// setTimeout sets the poller's deadline for the next read, touching it only where needed.
func (e *Eventfd) setTimeout(timeout time.Duration) error {
	var deadline time.Time
	cut := e.cut.Load() && e.cut.Swap(false)
	if timeout >= 0 {
		deadline = time.Now().Add(timeout)
	} else if !e.timed && !cut {
		return nil
	}
	e.timed = timeout >= 0
	return e.file.SetReadDeadline(deadline)
}

// drain is called by the poller until it reports true.
func (e *Eventfd) drain(fd uintptr) bool {
	n, err := sys.EventfdDrain(int(fd))
	e.failed = err
	if n > 0 {
		e.drains++
	}
	return n > 0 || err != nil
}

// Interrupt ends a Wait by moving the poller's deadline to the past: that takes no system call, and the sleeper is
// made runnable at once. It does not block.
func (e *Eventfd) Interrupt() {
	e.interrupt()
	e.cut.Store(true)
	// The error says that the file is closed, so nobody waits.
	_ = e.file.SetReadDeadline(longAgo)
}

var longAgo = time.Unix(1, 0)

// Close closes the eventfd; a Wait under way returns an error that Is [os.ErrClosed].
func (e *Eventfd) Close() error {
	e.close()
	if err := e.file.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("close eventfd: %w", err)
	}
	return nil
}
