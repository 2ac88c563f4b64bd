package fallback_test

import (
	"fmt"
	"io"
	"os"
	"testing"

	"github.com/shmwire/shmwire/fallback"
	"github.com/stretchr/testify/assert"
)

func TestHandshakeErrorText(t *testing.T) {
	plain := &fallback.HandshakeError{Stage: "offer", Got: "3 descriptors", Want: "at most 2"}
	assert.EqualError(t, plain, "handshake failed at offer: got 3 descriptors, want at most 2")
	assert.NoError(t, plain.Unwrap())

	caused := &fallback.HandshakeError{Stage: "hello", Got: "silence", Want: "hello", Err: os.ErrDeadlineExceeded}
	assert.EqualError(t, caused, "handshake failed at hello: got silence, want hello: i/o timeout")
	wrapped := fmt.Errorf("dial: %w", caused)
	assert.ErrorIs(t, wrapped, fallback.ErrHandshake)
	assert.ErrorIs(t, wrapped, os.ErrDeadlineExceeded)
	assert.NotErrorIs(t, wrapped, io.EOF)
}

func TestErrPeerDied(t *testing.T) {
	assert.ErrorIs(t, fallback.ErrPeerDied, io.ErrUnexpectedEOF)
	assert.NotErrorIs(t, fallback.ErrPeerDied, io.EOF)
	assert.EqualError(t, fallback.ErrPeerDied, "the peer died")
}
