package fallback

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"

	"github.com/shmwire/shmwire/internal/sys"
)

// Types of the frames that follow a handshake. A frame is its type, its length as u32 and its payload.
const (
	FrameMessage    byte = 1 + iota // a message, and behind it a trailer byte that its length does not count (Link)
	FrameCloseWrite                 // no message follows (Link)
	FrameEnd                        // this side has closed: its closed words are stored (Control), or it reads no more (Link)
)

// The trailer of a message: a sender that was stopped in the middle of one takes it back.
const (
	trailerTakenBack byte = iota
	trailerWhole
)

const (
	frameHeader  = 5
	messageFrame = frameHeader + 1 // what a message's frame has beside the message
	maxCtlFrame  = 64              // longest payload of a frame on a control channel
	ctlReadBytes = 1024
	maxEnds      = 2 // one when the peer closes its sending side, one when it closes
)

// Control is the socket of a connection that shares memory: it carries doorbells and end frames, and its end is the
// proof that the peer is gone.
//
// Ring and SendEnd may be called from any goroutine and never block; Serve belongs to one.
type Control struct {
	uc   *net.UnixConn
	sock *sys.Socket

	mu      sync.Mutex  // guards what is written: a doorbell inside a frame would corrupt the stream
	pending atomic.Bool // somebody found mu taken and wants a doorbell rung
	rung    atomic.Uint64
}

// NewControl returns the control channel over uc, whose handshake is over. The caller goes on owning uc and closes
// it, which ends Serve.
//
// The send buffer is set to its minimum, so that doorbells that the peer does not read pin little memory.
func NewControl(uc *net.UnixConn) (*Control, error) {
	sock, err := sys.NewSocket(uc)
	if err != nil {
		return nil, err
	}
	if err := uc.SetWriteBuffer(1); err != nil {
		return nil, err
	}
	return &Control{uc: uc, sock: sock}, nil
}

// Ring sends a doorbell. Where the socket is full, doorbells are pending in it and one more would say nothing new;
// where the peer is gone, Serve learns it.
//
// Whoever finds the channel busy leaves a note that the holder serves: after its last byte and once more after
// unlocking, since a note may have come between.
func (c *Control) Ring() {
	c.pending.Store(true)
	for c.pending.Load() && c.mu.TryLock() {
		c.servePending()
		c.mu.Unlock()
	}
}

func (c *Control) servePending() {
	if c.pending.Swap(false) {
		_ = c.sock.Ring()
		c.rung.Add(1)
	}
}

// SendEnd sends FrameEnd if it fits without waiting. Nothing depends on its arrival: the closed words say the same,
// and the end of the socket wakes the peer.
func (c *Control) SendEnd() {
	c.mu.Lock()
	_, _ = c.sock.TrySend([]byte{FrameEnd, 0, 0, 0, 0})
	c.servePending()
	c.mu.Unlock()
	if c.pending.Load() {
		c.Ring()
	}
}

// Rung returns how many doorbells were sent.
func (c *Control) Rung() uint64 { return c.rung.Load() }

// Serve reads the channel until the peer is gone or uc is closed, and then returns nil; the closed words tell what
// the end means. It calls bell once for any number of doorbells that arrive together, and frame for each FrameEnd.
// Anything else that arrives is an error that Is [ErrFrame].
func (c *Control) Serve(bell, frame func()) error {
	buf := make([]byte, ctlReadBytes)
	ends := 0
	once := func() { ends++; frame() }
	for have := 0; ; {
		n, err := c.uc.Read(buf[have:]) // a plain read drops stray descriptors
		if n > 0 {
			var perr error
			have, perr = parseControl(buf, have+n, bell, once)
			if perr != nil {
				return perr
			}
			if ends > maxEnds {
				return fmt.Errorf("%w: got %d end frames, want at most %d", ErrFrame, ends, maxEnds)
			}
		}
		if err != nil {
			return gone(err)
		}
	}
}

// parseControl consumes the doorbells and whole frames in buf[:n], moves what is left to the front and returns its
// length.
func parseControl(buf []byte, n int, bell, frame func()) (int, error) {
	rang := false
	i := 0
	for i < n {
		if buf[i] == 0 {
			rang = true
			i++
			continue
		}
		if n-i < frameHeader {
			break
		}
		size := binary.LittleEndian.Uint32(buf[i+1:])
		if buf[i] != FrameEnd || size > maxCtlFrame {
			return 0, frameError(buf[i], size, "an end frame of at most "+fmt.Sprint(maxCtlFrame)+" bytes")
		}
		if n-i < frameHeader+int(size) {
			break
		}
		i += frameHeader + int(size)
		frame()
	}
	if rang {
		bell()
	}
	return copy(buf, buf[i:n]), nil
}

// ErrFrame reports bytes on an established connection that are no frame.
var ErrFrame = errors.New("malformed frame")

func frameError(typ byte, size uint32, want string) error {
	return fmt.Errorf("%w: got type %d with %d bytes, want %s", ErrFrame, typ, size, want)
}

// gone is nil for the ways in which a peer's end, or our own, shows on a socket, and err for everything else.
func gone(err error) error {
	for _, end := range []error{io.EOF, net.ErrClosed, sys.ECONNRESET, sys.EPIPE} {
		if errors.Is(err, end) {
			return nil
		}
	}
	return err
}
