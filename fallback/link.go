package fallback

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/shmwire/shmwire/internal/sys"
)

// lingerTime is how long a closed link goes on trying to say goodbye to a peer that does not read.
const lingerTime = 5 * time.Second

// batchBytes is up to how many bytes SendBatch gathers for one system call.
const batchBytes = 64 << 10

// Link carries whole messages over the socket itself.
//
// A message is sent when its frame is in the kernel. If a deadline or a context ends a call in the middle of a frame,
// the message is not sent: a goroutine finishes the frame with a trailer that takes it back, and later calls wait for
// that.
//
// One goroutine at a time may send and one may receive; InterruptSend, InterruptReceive and Close may be called from
// any, Close once no call is running.
type Link struct {
	uc  *net.UnixConn
	max int

	out      halfway
	frame    []byte        // the frame, or frames, being sent
	flushing chan struct{} // closed when the goroutine that finishes a frame is done; nil: there was none
	flushErr error         // how it ended; read after flushing is closed
	closing  chan struct{} // closed by Close: whoever finishes a frame has lingerTime left

	broken error // the peer is gone: what every later send says

	in inlet
}

// NewLink returns the link over uc, whose handshake is over. It takes uc over.
func NewLink(uc *net.UnixConn, cfg LinkConfig) *Link {
	l := &Link{uc: uc, max: cfg.MaxMessage, closing: make(chan struct{})}
	l.out.init(uc.SetWriteDeadline, cfg.SendStop, cfg.SendDeadline)
	l.in.init(uc, cfg)
	return l
}

// InterruptSend makes a sender that waits ask its stop, deadline and context again.
func (l *Link) InterruptSend() { l.out.interrupt() }

// InterruptReceive makes a receiver that waits ask its stop, deadline and context again.
func (l *Link) InterruptReceive() { l.in.half.interrupt() }

// Claim returns n bytes to fill, the caller's until Commit, which sends them, or the next call. n is at most
// MaxMessage.
func (l *Link) Claim(ctx context.Context, n int) ([]byte, error) {
	if n < 0 || n > l.max {
		panic(fmt.Sprintf("fallback: claim of %d bytes, at most %d are possible", n, l.max))
	}
	if err := l.settle(ctx); err != nil {
		return nil, err
	}
	l.begin()
	return l.addMessage(n), nil
}

// Commit sends the message claimed last, once. Errors are those of Send.
func (l *Link) Commit(ctx context.Context) error {
	if len(l.frame) == 0 {
		panic("fallback: Commit without a claim")
	}
	_, err := l.flush(ctx)
	l.begin()
	return err
}

// Send sends one message. It returns nil once the message is sent.
//
// Errors: ctx.Err(); what SendStop says; [io.ErrClosedPipe] if the peer has closed the connection; [ErrPeerDied].
func (l *Link) Send(ctx context.Context, msg []byte) error {
	b, err := l.Claim(ctx, len(msg))
	if err != nil {
		return err
	}
	copy(b, msg)
	return l.Commit(ctx)
}

// SendBatch sends messages of at most MaxMessage bytes in order and returns how many were sent: all of them unless
// it also returns an error, which is one of Send's.
func (l *Link) SendBatch(ctx context.Context, msgs [][]byte) (n int, err error) {
	for i, m := range msgs {
		if len(m) > l.max {
			panic(fmt.Sprintf("fallback: message %d has %d bytes, at most %d are possible", i, len(m), l.max))
		}
	}
	defer l.begin() // nothing of it is left to commit
	if err := l.settle(ctx); err != nil {
		return 0, err
	}
	for n < len(msgs) {
		l.begin()
		k := n
		for k < len(msgs) && (k == n || len(l.frame)+messageFrame+len(msgs[k]) <= batchBytes) {
			copy(l.addMessage(len(msgs[k])), msgs[k])
			k++
		}
		sent, err := l.flush(ctx)
		for n < k && sent >= messageFrame+len(msgs[n]) {
			sent -= messageFrame + len(msgs[n])
			n++
		}
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// CloseWrite tells the peer that no message follows.
func (l *Link) CloseWrite(ctx context.Context) error {
	if err := l.settle(ctx); err != nil {
		return err
	}
	l.begin()
	l.add(FrameCloseWrite, 0)
	_, err := l.flush(ctx)
	l.begin()
	return err
}

func (l *Link) begin() { l.frame = l.frame[:0] }

// add appends a frame with n bytes behind its header and returns these to fill.
func (l *Link) add(typ byte, n int) []byte {
	at := len(l.frame)
	if need := at + frameHeader + n; cap(l.frame) < need {
		l.frame = append(make([]byte, 0, max(need, 2*cap(l.frame), 512)), l.frame...)
	}
	l.frame = l.frame[:at+frameHeader+n]
	l.frame[at] = typ
	if typ == FrameMessage {
		n-- // the trailer does not count
	}
	binary.LittleEndian.PutUint32(l.frame[at+1:], uint32(n))
	return l.frame[at+frameHeader : len(l.frame) : len(l.frame)]
}

// addMessage appends the frame of a message and returns its payload to fill. The trailer says that it is complete.
func (l *Link) addMessage(n int) []byte {
	payload := l.add(FrameMessage, n+1)
	payload[n] = trailerWhole
	return payload[:n:n]
}

// flush sends l.frame and returns how many bytes of whole frames the peer will get. Stopped inside a frame it has the
// rest of that frame sent in the background, with a trailer that takes the message back.
func (l *Link) flush(ctx context.Context) (sent int, err error) {
	sent, err = l.write(ctx)
	if err == nil {
		return sent, nil
	}
	if errors.Is(err, sys.EPIPE) || errors.Is(err, sys.ECONNRESET) {
		l.broken = l.verdict()
		return 0, l.broken
	}
	start, end := frameAround(l.frame, sent)
	if start == sent {
		return sent, err
	}
	if l.frame[start] == FrameMessage {
		l.frame[end-1] = trailerTakenBack
	} else {
		start, err = end, nil // a few bytes that say that nothing follows: they are as good as sent
	}
	l.finish(l.frame[sent:end])
	return start, err
}

// frameAround returns where the frame of b that byte at lies in starts and ends; both are at if a frame starts there.
func frameAround(b []byte, at int) (start, end int) {
	for end < at {
		start, end = end, end+frameHeader+frameBytes(b[end:])
	}
	if end == at {
		start = at
	}
	return start, end
}

// frameBytes returns how many bytes follow the header of our own frame b: a message's length does not count the trailer.
func frameBytes(b []byte) int {
	n := int(binary.LittleEndian.Uint32(b[1:]))
	if b[0] == FrameMessage {
		n++
	}
	return n
}

func (l *Link) write(ctx context.Context) (n int, err error) {
	for reset := false; n < len(l.frame); {
		if err := l.out.prepare(ctx, reset); err != nil {
			return n, err
		}
		k, err := l.uc.Write(l.frame[n:])
		n += k
		reset = errors.Is(err, os.ErrDeadlineExceeded)
		if err != nil && !reset {
			return n, err
		}
	}
	return n, nil
}

// settle waits until no frame is half sent.
func (l *Link) settle(ctx context.Context) error {
	for l.flushing != nil {
		if err := l.out.prepare(ctx, false); err != nil {
			return err
		}
		if err := l.waitFlushed(); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := l.out.stop(); err != nil {
		return err
	}
	return l.broken
}

// waitFlushed waits for the finishing goroutine, an interrupt or the deadline.
func (l *Link) waitFlushed() error {
	var expired <-chan time.Time
	if d := l.out.deadline(); !d.IsZero() {
		t := time.NewTimer(time.Until(d))
		defer t.Stop()
		expired = t.C
	}
	select {
	case <-l.flushing:
		l.flushing = nil
		l.out.disarmed() // writeInBackground has its own deadlines
		if l.flushErr != nil {
			l.broken = l.verdict()
			return l.broken
		}
	case <-l.out.poke:
	case <-expired:
	}
	return nil
}

// finish sends rest, the tail of a frame whose beginning is sent, in the background.
func (l *Link) finish(rest []byte) {
	rest = append([]byte(nil), rest...)
	done := make(chan struct{})
	l.flushing = done
	go func() {
		defer close(done)
		l.flushErr = l.writeInBackground(rest)
	}()
}

// writeInBackground writes b whole. Interrupts meant for senders end its calls too, and it goes on.
func (l *Link) writeInBackground(b []byte) error {
	var end time.Time
	for len(b) > 0 {
		// The order counts: Close closes closing first and sets its past deadline then, so either it ends the Write or
		// we see that it was called.
		_ = l.uc.SetWriteDeadline(end)
		if end.IsZero() && l.isClosing() {
			end = time.Now().Add(lingerTime)
			continue
		}
		n, err := l.uc.Write(b)
		b = b[n:]
		late := !end.IsZero() && time.Now().After(end)
		if err != nil && (late || !errors.Is(err, os.ErrDeadlineExceeded)) {
			return err
		}
	}
	return nil
}

func (l *Link) isClosing() bool {
	select {
	case <-l.closing:
		return true
	default:
		return false
	}
}

// Close tells the peer that this side is gone and closes the socket. Where that needs waiting, because the peer does
// not read, a goroutine does it for at most five seconds, and Close returns.
func (l *Link) Close() error {
	l.out.stopWatching()
	l.in.half.stopWatching()
	close(l.closing)
	l.begin()
	l.add(FrameEnd, 0)
	if l.flushing == nil {
		_ = l.uc.SetWriteDeadline(time.Now().Add(time.Millisecond))
		n, err := l.uc.Write(l.frame)
		if err == nil || !errors.Is(err, os.ErrDeadlineExceeded) {
			return l.uc.Close()
		}
		l.frame = l.frame[n:]
	}
	_ = l.uc.SetReadDeadline(past)
	go l.linger(l.frame, l.flushing)
	_ = l.uc.SetWriteDeadline(past) // the finishing goroutine learns of its deadline
	return nil
}

func (l *Link) linger(end []byte, flushing chan struct{}) {
	defer l.uc.Close()
	if flushing != nil {
		<-flushing
		if l.flushErr != nil {
			return
		}
	}
	_ = l.writeInBackground(end)
}
