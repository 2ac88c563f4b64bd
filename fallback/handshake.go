package fallback

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/shmwire/shmwire/internal/sys"
)

// DefaultTimeout is how long a handshake may take from its first byte to its last.
const DefaultTimeout = 5 * time.Second

// Cred names the process at the other end, as the kernel vouches for it. Where it does not, Known is false and the
// numbers mean nothing.
type Cred = sys.Cred

// Offer is what one side passes to the other: descriptors of memory that it owns, and for [WakeEventfd] of its
// doorbell.
type Offer struct {
	FDs []int // own memfd, then own eventfd if the agreement says WakeEventfd
}

// Params is one side of a handshake.
type Params struct {
	// Begun is called once the socket's deadline is set: who wants to cut the handshake short, by setting it to the past,
	// may do so from now on. Nil: nobody is told.
	Begun func()
	// Answer is set by the side that accepted the connection: it hears the peer's hello before it says anything.
	Answer bool
	// Timeout covers the whole handshake; 0 means DefaultTimeout.
	Timeout time.Duration
	// Hello is what we say of ourselves. Versions, nonce and byte order are filled in.
	Hello Hello
	// Authorize decides whether the peer is let in, before anything of ours is sent to it (Answer) or offered to it.
	Authorize func(Cred) error
	// Trusts reports whether the peer runs as our own user. Nil means: the same effective uid, which is known and not
	// the overflow uid.
	Trusts func(Cred) bool
	// Make makes our memory. The descriptors stay the callee's. An error means that we cannot share memory; its text
	// is given to the peer as the reason.
	Make func(Agreement) (Offer, error)
	// Take checks and maps the peer's memory. The descriptors become the callee's, whatever it answers. A
	// *HandshakeError ends the connection: the peer offered what the protocol forbids. Any other error means that we
	// cannot use it, and the connection goes on over the socket.
	Take func(Agreement, Offer) error
}

// Result is what a handshake settled.
type Result struct {
	Peer   Cred      // who is at the other end
	Agreed Agreement // what both hellos came to
	// Shared reports whether both sides said yes: the memory made and taken is in use. Otherwise Reason says why not,
	// the caller drops it, and the connection goes on over the socket.
	Shared bool
	Reason string
}

// Handshake settles on uc how the two sides go on, and leaves uc without a deadline and with nothing of the
// handshake unread. It blocks, for at most the time-out, and may be cut short from another goroutine by setting uc's
// deadline to the past.
//
// Errors are [*HandshakeError]. After an error uc is of no more use; the caller closes it and drops what Make and
// Take gave it.
func Handshake(uc *net.UnixConn, p Params) (Result, error) {
	h, err := newHandshaker(uc, &p)
	if err != nil {
		return Result{}, err
	}
	r, err := h.run()
	if err != nil {
		return Result{Peer: r.Peer}, err
	}
	if err := h.sock.PassCred(false); err != nil {
		return Result{Peer: r.Peer}, h.fail("ready", err)
	}
	return r, h.fail("ready", uc.SetDeadline(time.Time{}))
}

type handshaker struct {
	p     *Params
	sock  *sys.Socket
	end   time.Time
	short bool // descriptors came that this process may not open
}

func newHandshaker(uc *net.UnixConn, p *Params) (*handshaker, error) {
	if p.Timeout == 0 {
		p.Timeout = DefaultTimeout
	}
	h := &handshaker{p: p, end: time.Now().Add(p.Timeout)}
	p.Hello.MinVersion, p.Hello.MaxVersion, p.Hello.BigEndian = Version, Version, nativeBigEndian()
	if _, err := rand.Read(p.Hello.Nonce[:]); err != nil {
		return nil, h.fail("hello", err)
	}
	if err := uc.SetDeadline(h.end); err != nil {
		return nil, h.fail("hello", err)
	}
	if p.Begun != nil {
		p.Begun()
	}
	var err error
	if h.sock, err = sys.NewSocket(uc); err != nil {
		return nil, h.fail("hello", err)
	}
	return h, h.fail("hello", h.sock.PassCred(true)) // before any read: what arrives earlier may carry none
}

// fail turns an error of the socket into a HandshakeError of this stage; nil stays nil.
func (h *handshaker) fail(stage string, err error) error {
	if err == nil {
		return nil
	}
	if he := (*HandshakeError)(nil); errors.As(err, &he) {
		return err
	}
	e := &HandshakeError{Stage: stage, Got: "an error of the socket", Want: stage, Err: err}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		e.Got = fmt.Sprintf("silence for %v", h.p.Timeout)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, sys.ECONNRESET), errors.Is(err, sys.EPIPE):
		e.Got = "the end of the connection"
	}
	return e
}

func (h *handshaker) run() (r Result, err error) {
	peer, err := h.hello(&r)
	if err != nil {
		return r, err
	}
	r.Agreed, err = agree(h.p.Hello, peer, h.trusts(r.Peer))
	if err != nil {
		return r, err
	}
	ownNo, peerNo, err := h.offers(r.Agreed, peer)
	if err != nil {
		return r, err
	}
	r.Shared, r.Reason = ownNo == "" && peerNo == "", ownNo
	if ownNo == "" && peerNo != "" {
		r.Reason = "peer: " + peerNo
	}
	if err := h.send(typeReady, nil, nil, false); err != nil {
		return r, err
	}
	payload, _, err := h.recv(typeReady, 0, nil)
	if err == nil && len(payload) != 0 {
		err = &HandshakeError{Stage: "ready", Got: fmt.Sprintf("%d bytes", len(payload)), Want: "none"}
	}
	return r, err
}

// hello exchanges hellos and decides on the peer's credentials.
func (h *handshaker) hello(r *Result) (Hello, error) {
	own := h.p.Hello.encode()
	if !h.p.Answer {
		if err := h.send(typeHello, own, nil, true); err != nil {
			return Hello{}, err
		}
	}
	payload, _, err := h.recv(typeHello, 0, &r.Peer)
	if err != nil {
		return Hello{}, err
	}
	peer, err := decodeHello(payload)
	if err == nil && peer.Nonce == h.p.Hello.Nonce { // somebody who sends back whatever comes
		err = badHello("our own hello", "another process's")
	}
	if err != nil {
		return Hello{}, err
	}
	if h.p.Authorize != nil {
		if err := h.p.Authorize(r.Peer); err != nil {
			return Hello{}, &HandshakeError{
				Stage: "credentials", Got: describe(r.Peer), Want: "a process that is let in", Err: err,
			}
		}
	}
	if h.p.Answer {
		err = h.send(typeHello, own, nil, true)
	}
	return peer, err
}

func describe(c Cred) string {
	if !c.Known {
		return "a process without credentials"
	}
	return fmt.Sprintf("pid %d, uid %d, gid %d", c.PID, c.UID, c.GID)
}

func (h *handshaker) trusts(c Cred) bool {
	if h.p.Trusts != nil {
		return h.p.Trusts(c)
	}
	return SameUser(c)
}

// SameUser reports whether c is known to run as this process's effective user. The overflow uid, which stands for
// every user that a namespace does not map, is nobody's.
func SameUser(c Cred) bool {
	return c.Known && c.UID == os.Geteuid() && c.UID != sys.OverflowUID()
}

// offers exchanges offers and accepts. It returns our reason and the peer's for not sharing memory, empty for yes.
func (h *handshaker) offers(a Agreement, peer Hello) (ownNo, peerNo string, err error) {
	ownNo, err = h.sendOffer(a, peer)
	if err != nil {
		return "", "", err
	}
	takeNo, err := h.recvOffer(a, peer)
	if err != nil {
		return "", "", err
	}
	if ownNo == "" || h.p.Hello.SharesMemory && !peer.SharesMemory { // who switched it off knows why
		ownNo = takeNo
	}
	if err := h.send(typeAccept, encodeAccept(ownNo == "", ownNo), nil, false); err != nil {
		return "", "", err
	}
	payload, _, err := h.recv(typeAccept, 0, nil)
	if err != nil {
		return "", "", err
	}
	yes, why, err := decodeAccept(payload)
	if yes {
		return ownNo, "", err
	}
	return ownNo, orElse(why, "no reason given"), err
}

// sendOffer makes our memory and offers it; where it cannot be made it says why.
func (h *handshaker) sendOffer(a Agreement, peer Hello) (no string, err error) {
	var o Offer
	switch {
	case !h.p.Hello.SharesMemory || h.p.Make == nil:
		no = "shared memory is switched off"
	case !peer.SharesMemory:
		no = "the peer does not share memory"
	default:
		err := h.patiently(func() (err error) { o, err = h.p.Make(a); return err })
		if err != nil {
			o, no = Offer{}, orElse(err.Error(), "shared memory cannot be made")
		}
	}
	return no, h.send(typeOffer, encodeOffer(no == "", peer.Nonce, no), o.FDs, false)
}

func (h *handshaker) recvOffer(a Agreement, peer Hello) (no string, err error) {
	want := 1
	if a.PeerWake == WakeEventfd {
		want = 2
	}
	payload, fds, err := h.recv(typeOffer, want, nil)
	if err != nil {
		return "", err
	}
	have, why, err := decodeOffer(payload, h.p.Hello.Nonce)
	if err == nil && h.short {
		return "the peer's descriptors: " + sys.EMFILE.Error(), nil
	}
	if err == nil && (have != (len(fds) == want) || !have && len(fds) != 0) {
		err = &HandshakeError{
			Stage: "offer", Got: fmt.Sprintf("%d descriptors with status %d", len(fds), payload[0]),
			Want: fmt.Sprintf("%d with status 1 or none with status 0", want),
		}
	}
	if err == nil && have && !peer.SharesMemory { // we made nothing for it, so there is nothing to share with
		err = &HandshakeError{Stage: "offer", Got: "memory of a process that shares none", Want: "status 0"}
	}
	if err != nil {
		sys.CloseFDs(fds)
		return "", err
	}
	if !have {
		return "peer: " + orElse(why, "no reason given"), nil
	}
	if h.p.Take == nil || !h.p.Hello.SharesMemory {
		sys.CloseFDs(fds)
		return "shared memory is switched off", nil
	}
	err = h.p.Take(a, Offer{FDs: fds})
	if he := (*HandshakeError)(nil); errors.As(err, &he) {
		return "", err
	}
	if err != nil {
		return orElse(err.Error(), "shared memory cannot be used"), nil
	}
	return "", nil
}

// orElse makes a reason of text, since an empty one means yes.
func orElse(text, other string) string {
	if text == "" {
		return other
	}
	return text
}

// patiently repeats try while descriptors are short, here or in flight, until the deadline.
func (h *handshaker) patiently(try func() error) error {
	for wait := time.Millisecond; ; wait = min(2*wait, 50*time.Millisecond) {
		err := try()
		short := errors.Is(err, sys.EMFILE) || errors.Is(err, sys.ENFILE) || errors.Is(err, sys.ETOOMANYREFS)
		if !short || h.outOfPatience(wait) {
			return err
		}
		if err := h.sock.Check(); err != nil { // cut short from outside
			return err
		}
		time.Sleep(wait)
	}
}

// outOfPatience reports whether waiting once more would leave too little of the deadline to go on over the socket.
func (h *handshaker) outOfPatience(wait time.Duration) bool {
	return time.Now().Add(wait).After(h.end.Add(-h.p.Timeout / 5))
}

func (h *handshaker) send(t messageType, payload []byte, fds []int, cred bool) error {
	b := appendMessage(make([]byte, 0, headerBytes+len(payload)), t, payload)
	err := h.patiently(func() error { return h.sock.SendMsg(b, fds, cred) })
	return h.fail(t.String(), err)
}
