package fallback

import (
	"fmt"
	"io"
	"time"

	"github.com/shmwire/shmwire/internal/sys"
)

// recv takes exactly one message of type t with at most maxFDs descriptors, which are the caller's afterwards. Where
// it errs it has closed what came. If cred is set it receives who sent the message.
func (h *handshaker) recv(t messageType, maxFDs int, cred *Cred) (payload []byte, fds []int, err error) {
	m := inbound{h: h, stage: t, maxFDs: maxFDs}
	payload, err = m.read(cred)
	if err != nil {
		sys.CloseFDs(m.fds)
		return nil, nil, h.fail(t.String(), err)
	}
	return payload, m.fds, nil
}

// inbound is one message on its way in, with the descriptors that came so far.
type inbound struct {
	h      *handshaker
	stage  messageType
	maxFDs int
	fds    []int
}

func (m *inbound) read(cred *Cred) ([]byte, error) {
	var head [headerBytes]byte
	n, err := m.first(head[:], cred)
	if err != nil {
		return nil, err
	}
	if err := m.fill(head[:], n); err != nil {
		return nil, err
	}
	size, err := parseHeader(head[:], m.stage)
	if err != nil {
		return nil, err
	}
	payload := make([]byte, size)
	return payload, m.fill(payload, 0)
}

// first receives the beginning of the message, to which descriptors and credentials are attached. Where descriptors
// are expected it looks before it takes, because those that this process may not open at the moment are lost with
// the bytes that carry them.
func (m *inbound) first(b []byte, cred *Cred) (int, error) {
	if m.maxFDs > 0 && sys.CanPassFDs {
		if err := m.peek(b); err != nil {
			return 0, err
		}
	}
	r, err := m.h.sock.RecvMsg(b, false)
	if err != nil {
		return 0, err
	}
	if m.maxFDs > 0 {
		sys.CloseFDs(r.FDs) // second duplicates of those that peek brought
	} else if err := m.surplus(r); err != nil {
		return 0, err
	}
	if cred != nil {
		*cred = r.Cred
	}
	if r.N == 0 {
		return 0, io.EOF
	}
	return r.N, nil
}

// peek duplicates the descriptors of the waiting message, again and again while this process may open no more. When
// it has tried for long enough it says so in handshaker.short and goes on without them.
func (m *inbound) peek(b []byte) error {
	for wait := time.Millisecond; ; wait = min(2*wait, 50*time.Millisecond) {
		r, err := m.h.sock.RecvMsg(b, true)
		if err != nil {
			return err
		}
		m.fds = r.FDs
		if r.Full || len(r.FDs) > m.maxFDs {
			return &HandshakeError{
				Stage: m.stage.String(), Got: fmt.Sprintf("%d descriptors or more", len(r.FDs)),
				Want: fmt.Sprintf("at most %d", m.maxFDs),
			}
		}
		if !r.Truncated {
			return nil
		}
		sys.CloseFDs(m.fds)
		m.fds = nil
		if m.h.outOfPatience(wait) {
			m.h.short = true
			return nil
		}
		time.Sleep(wait)
	}
}

// surplus refuses descriptors where none is expected. They are closed with the message.
func (m *inbound) surplus(r sys.Received) error {
	m.fds = append(m.fds, r.FDs...)
	if len(r.FDs) == 0 && !r.Truncated {
		return nil
	}
	return &HandshakeError{
		Stage: m.stage.String(), Got: fmt.Sprintf("%d descriptors", len(r.FDs)), Want: "none here",
	}
}

// fill reads into b from have on. Whatever is attached to these bytes is surplus.
func (m *inbound) fill(b []byte, have int) error {
	for have < len(b) {
		r, err := m.h.sock.RecvMsg(b[have:], false)
		if err != nil {
			return err
		}
		if err := m.surplus(r); err != nil {
			return err
		}
		if r.N == 0 {
			return io.ErrUnexpectedEOF
		}
		have += r.N
	}
	return nil
}
