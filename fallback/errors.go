package fallback

import (
	"errors"
	"fmt"
	"io"
)

// ErrHandshake is what every [*HandshakeError] is.
var ErrHandshake = errors.New("handshake failed")

// ErrPeerDied reports that the peer ended without closing the connection. It is an [io.ErrUnexpectedEOF].
var ErrPeerDied error = peerDied{}

type peerDied struct{}

func (peerDied) Error() string        { return "the peer died" }
func (peerDied) Is(target error) bool { return target == io.ErrUnexpectedEOF }

// HandshakeError says at which stage a handshake failed, what was received and what was wanted.
type HandshakeError struct {
	Stage string // "credentials", "hello", "offer", "accept" or "ready"
	Got   string // what was there instead, quoted and bounded where the peer wrote it
	Want  string // what the protocol or our configuration asks for
	Err   error  // the cause where there is one: a time-out, a refused segment
}

// Error names the stage, what came, what was wanted and the cause.
func (e *HandshakeError) Error() string {
	s := fmt.Sprintf("handshake failed at %s: got %s, want %s", e.Stage, e.Got, e.Want)
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Is reports whether target is [ErrHandshake].
func (e *HandshakeError) Is(target error) bool { return target == ErrHandshake }

// Unwrap returns the cause.
func (e *HandshakeError) Unwrap() error { return e.Err }
