package shmwire

import (
	"context"
	"errors"
	"io"
	"net"

	"github.com/shmwire/shmwire/fallback"
	"github.com/shmwire/shmwire/internal/sys"
	"github.com/shmwire/shmwire/ring"
	"github.com/shmwire/shmwire/shmseg"
)

// Errors of this package, to be compared with [errors.Is]. Beside them stand the standard library's own:
// [net.ErrClosed] after our Close, [io.EOF] after the peer's, [os.ErrDeadlineExceeded] when a deadline passes, the
// context's error when it ends, and [errors.ErrUnsupported] where a platform lacks something.
var (
	// ErrPeerDied is returned when the peer ended without closing the connection, once everything that it had committed
	// is received. It Is [io.ErrUnexpectedEOF].
	ErrPeerDied = fallback.ErrPeerDied
	// ErrHandshake is what every [*HandshakeError] is.
	ErrHandshake = fallback.ErrHandshake
	// ErrCorrupt is returned when the peer wrote something that the protocol rules out. The connection is of no use any
	// more.
	ErrCorrupt = ring.ErrCorrupt
	// ErrTooLarge is returned for a message longer than [Conn.MaxMessage]. Nothing was sent.
	ErrTooLarge = ring.ErrTooLarge
	// ErrVersion, ErrNotSegment and ErrStale tell why a segment cannot be used.
	ErrVersion    = shmseg.ErrVersion
	ErrNotSegment = shmseg.ErrNotSegment
	ErrStale      = shmseg.ErrStale
)

// HandshakeError says at which stage a handshake failed, what was received and what was wanted. It Is
// [ErrHandshake].
type HandshakeError = fallback.HandshakeError

// errPeerClosed is what a sender gets once the peer has closed the connection. It is what a socket says then, EPIPE,
// and what a pipe says, [io.ErrClosedPipe].
var errPeerClosed error = peerClosed{}

type peerClosed struct{}

func (peerClosed) Error() string { return "broken pipe: the peer has closed the connection" }

func (peerClosed) Is(target error) bool { return target == io.ErrClosedPipe || target == sys.EPIPE }

// errWriteClosed is what a sender gets after our own CloseWrite.
var errWriteClosed error = writeClosed{}

type writeClosed struct{}

func (writeClosed) Error() string { return "the sending side is closed" }

func (writeClosed) Is(target error) bool { return target == io.ErrClosedPipe || target == sys.EPIPE }

// opError dresses err as the net package does. io.EOF and the errors of contexts stay bare, because callers compare
// them with ==.
func (c *Conn) opError(op string, err error) error {
	switch err {
	case nil, io.EOF, context.Canceled, context.DeadlineExceeded:
		return err
	case io.ErrClosedPipe:
		err = errPeerClosed
	}
	if errors.Is(err, fallback.ErrFrame) {
		err = &frameCorrupt{err}
	}
	return &net.OpError{Op: op, Net: c.local.Network(), Source: c.local, Addr: c.remote, Err: err}
}

// frameCorrupt makes a malformed frame of the socket transport the same error as a corrupt ring.
type frameCorrupt struct{ error }

func (e *frameCorrupt) Is(target error) bool { return target == ErrCorrupt }
func (e *frameCorrupt) Unwrap() error        { return e.error }

func isEOF(err error) bool { return err == io.EOF }
