package fallback

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

const (
	inletBytes = 16 << 10 // first size of the receive buffer; it grows to the longest message received
	minRead    = 4 << 10
	maxPull    = 16 << 20 // most that is read ahead to find out how the peer ended
	// verdictTime bounds how long a sender looks for how the peer ended.
	verdictTime = 200 * time.Millisecond
)

// inlet is the receiving half of a Link: whole frames in one buffer.
type inlet struct {
	uc   *net.UnixConn
	half halfway
	max  int

	mu    sync.Mutex // guards what follows, while a frame is looked for; an open view needs no lock
	buf   []byte     // buf[r:w] is unread
	r, w  int
	view  int  // length of the frame at r that is lent out; 0: none
	reset bool // the socket's read deadline is not what half believes
	end   error
	over  chan struct{} // closed when end is set by the end of the socket
	bye   bool          // the peer said FrameEnd
}

func (in *inlet) init(uc *net.UnixConn, cfg LinkConfig) {
	in.uc, in.max, in.over = uc, cfg.MaxMessage, make(chan struct{})
	in.half.init(uc.SetReadDeadline, cfg.ReceiveStop, cfg.ReceiveDeadline)
}

// Next waits for a message and lends it out: the slice is the caller's to read until Release. One message is lent at
// a time.
//
// Errors: ctx.Err(); what ReceiveStop says; [io.EOF] after the peer said that nothing follows; [ErrPeerDied];
// [ErrFrame] if the peer sent something that is no frame. The last three are final.
func (l *Link) Next(ctx context.Context) ([]byte, error) {
	in := &l.in
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.view != 0 {
		panic("fallback: Next while the message before it is not released")
	}
	for {
		msg, ok, err := in.take()
		if ok || err != nil {
			return msg, err
		}
		if err := in.fill(ctx); err != nil {
			return nil, err
		}
	}
}

// Ready lends out the next message if it has been received already; see Next.
func (l *Link) Ready() (msg []byte, ok bool) {
	in := &l.in
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.view != 0 {
		panic("fallback: Ready while the message before it is not released")
	}
	msg, ok, _ = in.take()
	return msg, ok
}

// Release gives back the message that Next or Ready lent.
func (l *Link) Release() {
	in := &l.in
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.view == 0 {
		panic("fallback: Release without a message")
	}
	in.r += in.view
	in.view = 0
}

// take finds the message at the front of the buffer. Those that were taken back it drops.
func (in *inlet) take() (msg []byte, ok bool, err error) {
	for {
		msg, ok, err = in.takeFrame()
		if !ok || in.buf[in.r+in.view-1] == trailerWhole {
			return msg, ok, err
		}
		in.r += in.view
		in.view = 0
	}
}

func (in *inlet) takeFrame() (msg []byte, ok bool, err error) {
	if in.w-in.r < frameHeader {
		return nil, false, in.end
	}
	head := in.buf[in.r:in.w]
	typ, size := head[0], binary.LittleEndian.Uint32(head[1:])
	if (typ == FrameCloseWrite || typ == FrameEnd) && size == 0 {
		// It stays at the front: every later call finds it again.
		return nil, false, io.EOF
	}
	if typ != FrameMessage || uint64(size) > uint64(in.max) {
		return nil, false, in.refuse(frameError(typ, size, "a message within the limit"))
	}
	n := messageFrame + int(size)
	if len(head) < n {
		if in.end != nil {
			return nil, false, in.end
		}
		in.room(n)
		return nil, false, nil
	}
	if t := head[n-1]; t > trailerWhole {
		return nil, false, in.refuse(fmt.Errorf("%w: got trailer %d, want 0 or 1", ErrFrame, t))
	}
	in.view = n
	return head[frameHeader : n-1 : n-1], true, nil
}

// refuse ends the receiving: nothing behind what is no frame can be found again.
func (in *inlet) refuse(err error) error {
	in.end, in.r = err, in.w
	return err
}

// room makes the buffer hold need bytes from r on. While a message is lent out its bytes stay where they are.
func (in *inlet) room(need int) {
	if in.r+need <= len(in.buf) {
		return
	}
	have := in.w - in.r
	to := in.buf
	if need > len(to) || in.view != 0 {
		to = make([]byte, max(need, inletBytes, 2*have))
	}
	copy(to, in.buf[in.r:in.w])
	in.buf, in.r, in.w = to, 0, have
}

// fill waits for more bytes.
func (in *inlet) fill(ctx context.Context) error {
	if in.r == in.w {
		in.r, in.w = 0, 0
	}
	in.room(in.w - in.r + minRead)
	for {
		if err := in.half.prepare(ctx, in.reset); err != nil {
			return err
		}
		in.reset = false
		n, err := in.uc.Read(in.buf[in.w:])
		in.w += n
		switch {
		case n > 0:
			return nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			in.reset = true
		case errors.Is(err, net.ErrClosed):
			return err
		default:
			in.finish()
			return nil
		}
	}
}

// finish notes the end of the socket: without a word of farewell the peer died.
func (in *inlet) finish() {
	if in.end == nil {
		in.end = ErrPeerDied
		in.bye = in.saidBye()
		close(in.over)
	}
}

// saidBye walks the frames of the buffer for a FrameEnd.
func (in *inlet) saidBye() bool {
	for i := in.r; i+frameHeader <= in.w; {
		if in.buf[i] == FrameEnd {
			return true
		}
		if size := binary.LittleEndian.Uint32(in.buf[i+1:]); uint64(size) > uint64(in.max) {
			return false
		}
		i += frameHeader + frameBytes(in.buf[i:])
	}
	return false
}

// verdict tells a sender whose socket broke how the peer ended. What the peer sent before is still unread perhaps, so
// it is read ahead, into the buffer; a receiver that is at work gets there by itself.
func (l *Link) verdict() error {
	in := &l.in
	for end := time.Now().Add(verdictTime); time.Now().Before(end); {
		if in.mu.TryLock() {
			defer in.mu.Unlock()
			in.pull()
			return in.farewell()
		}
		select {
		case <-in.over:
			return in.farewell() // bye was written before over was closed, and is not written again
		case <-time.After(time.Millisecond):
		}
	}
	// The receiver still waits: the peer stopped reading but keeps its end open, which no Close does.
	return ErrPeerDied
}

// farewell is what the peer's end means for a sender.
func (in *inlet) farewell() error {
	if in.bye {
		return io.ErrClosedPipe
	}
	return ErrPeerDied
}

// pull reads to the end of the socket, which is near: the peer is gone. Interrupts meant for receivers end its calls
// too, and it goes on: what the peer sent is not lost by them.
func (in *inlet) pull() {
	in.reset = true
	end := time.Now().Add(verdictTime)
	for in.end == nil && in.w-in.r < maxPull && time.Now().Before(end) {
		_ = in.uc.SetReadDeadline(end)
		in.room(in.w - in.r + inletBytes)
		n, err := in.uc.Read(in.buf[in.w:])
		in.w += n
		if n == 0 && err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			in.finish()
		}
	}
}
