package fallback

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	magic       = "shmw"
	headerBytes = 8
	maxPayload  = 1024
	maxReason   = 256

	helloBytes = 56
	offerBytes = 24
)

type messageType uint8

const (
	typeHello messageType = 1 + iota
	typeOffer
	typeAccept
	typeReady
)

func (t messageType) String() string {
	names := [...]string{typeHello: "hello", typeOffer: "offer", typeAccept: "accept", typeReady: "ready"}
	if t == 0 || int(t) >= len(names) {
		return fmt.Sprintf("message type %d", uint8(t))
	}
	return names[t]
}

func appendMessage(b []byte, t messageType, payload []byte) []byte {
	b = append(b, magic...)
	b = append(b, byte(t), 0)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(payload)))
	return append(b, payload...)
}

// parseHeader reads the header of the message that should be of type want and returns its payload's length.
func parseHeader(h []byte, want messageType) (int, error) {
	if string(h[:4]) != magic {
		return 0, &HandshakeError{Stage: want.String(), Got: fmt.Sprintf("%q", h), Want: fmt.Sprintf("%q", magic)}
	}
	if t := messageType(h[4]); t != want {
		return 0, &HandshakeError{Stage: want.String(), Got: t.String(), Want: want.String()}
	}
	n := int(binary.LittleEndian.Uint16(h[6:]))
	if n > maxPayload {
		return 0, &HandshakeError{
			Stage: want.String(), Got: fmt.Sprintf("a payload of %d bytes", n),
			Want: fmt.Sprintf("at most %d", maxPayload),
		}
	}
	return n, nil
}

// Wake says how a process wants to be woken when there is data for it.
type Wake uint8

// The ways of waking.
const (
	WakeEventfd Wake = 1 + iota // an eventfd that it passes with its offer
	WakeFutex                   // a futex on the doorbell word of the sender's producer region
	WakeSocket                  // a byte on the control socket
	WakeNever                   // it never parks, neither for data nor for space
)

// String returns the way's name.
func (w Wake) String() string {
	switch w {
	case WakeEventfd:
		return "eventfd"
	case WakeFutex:
		return "futex"
	case WakeSocket:
		return "socket"
	case WakeNever:
		return "never"
	}
	return fmt.Sprintf("Wake(%d)", uint8(w))
}

// Hello is what a side says of itself.
type Hello struct {
	MinVersion, MaxVersion uint16 // protocol versions that it speaks
	Wake                   Wake
	BigEndian              bool // byte order of the words it shares
	SharesMemory           bool // it can and wants to share memory
	Slots                  uint64
	SlotBytes              uint32 // ring geometry that it wishes, each way
	MaxRingBytes           uint64 // largest slot area, in bytes, that it agrees to
	Nonce                  [16]byte
}

func (h *Hello) encode() []byte {
	b := make([]byte, helloBytes)
	le := binary.LittleEndian
	le.PutUint16(b[0:], h.MinVersion)
	le.PutUint16(b[2:], h.MaxVersion)
	b[4] = byte(h.Wake)
	b[5] = 1
	if h.BigEndian {
		b[5] = 2
	}
	if h.SharesMemory {
		le.PutUint64(b[8:], 1)
	}
	le.PutUint64(b[16:], h.Slots)
	le.PutUint32(b[24:], h.SlotBytes)
	le.PutUint64(b[32:], h.MaxRingBytes)
	copy(b[40:], h.Nonce[:])
	return b
}

func decodeHello(b []byte) (Hello, error) {
	if len(b) < helloBytes {
		return Hello{}, badHello(fmt.Sprintf("%d bytes", len(b)), fmt.Sprintf("at least %d", helloBytes))
	}
	le := binary.LittleEndian
	h := Hello{
		MinVersion: le.Uint16(b[0:]), MaxVersion: le.Uint16(b[2:]),
		Wake: Wake(b[4]), BigEndian: b[5] == 2, SharesMemory: le.Uint64(b[8:])&1 != 0,
		Slots: le.Uint64(b[16:]), SlotBytes: le.Uint32(b[24:]), MaxRingBytes: le.Uint64(b[32:]),
		Nonce: [16]byte(b[40:56]),
	}
	switch {
	case h.MinVersion == 0 || h.MinVersion > h.MaxVersion:
		return Hello{}, badHello(versions(h.MinVersion, h.MaxVersion), "a range of versions from 1")
	case h.Wake < WakeEventfd || h.Wake > WakeNever:
		return Hello{}, badHello(h.Wake.String(), "Wake 1…4")
	case b[5] != 1 && b[5] != 2:
		return Hello{}, badHello(fmt.Sprintf("byte order %d", b[5]), "1 or 2")
	}
	return h, nil
}

func badHello(got, want string) *HandshakeError {
	return &HandshakeError{Stage: "hello", Got: got, Want: want}
}

func versions(lo, hi uint16) string { return fmt.Sprintf("versions %d to %d", lo, hi) }

func encodeOffer(have bool, nonce [16]byte, reason string) []byte {
	b := make([]byte, offerBytes, offerBytes+maxReason)
	if have {
		b[0] = 1
	}
	copy(b[8:], nonce[:])
	return append(b, clip(reason)...)
}

func decodeOffer(b []byte, nonce [16]byte) (have bool, reason string, err error) {
	if len(b) < offerBytes {
		return false, "", &HandshakeError{
			Stage: "offer", Got: fmt.Sprintf("%d bytes", len(b)), Want: fmt.Sprintf("at least %d", offerBytes),
		}
	}
	if b[0] > 1 {
		return false, "", &HandshakeError{Stage: "offer", Got: fmt.Sprintf("status %d", b[0]), Want: "0 or 1"}
	}
	if !bytes.Equal(b[8:24], nonce[:]) {
		return false, "", &HandshakeError{
			Stage: "offer", Got: fmt.Sprintf("nonce %x", b[8:24]), Want: fmt.Sprintf("%x", nonce),
		}
	}
	return b[0] == 1, readable(b[offerBytes:]), nil
}

func encodeAccept(yes bool, reason string) []byte {
	b := []byte{0}
	if yes {
		b[0] = 1
	}
	return append(b, clip(reason)...)
}

func decodeAccept(b []byte) (yes bool, reason string, err error) {
	if len(b) < 1 || b[0] > 1 {
		return false, "", &HandshakeError{Stage: "accept", Got: fmt.Sprintf("%.16x", b), Want: "0 or 1 and a reason"}
	}
	return b[0] == 1, readable(b[1:]), nil
}

func clip(s string) string {
	if len(s) > maxReason {
		s = s[:maxReason]
	}
	return s
}

// readable makes text that a peer wrote fit for our errors, logs and terminals: bounded, valid, on one line, and without
// what steers a terminal, C1 controls and marks of direction included.
func readable(b []byte) string {
	s := strings.ToValidUTF8(clip(string(b)), "\uFFFD")
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == utf8.RuneError {
			return '?'
		}
		return r
	}, s)
}

// nativeBigEndian reports the byte order of the words that this process shares.
func nativeBigEndian() bool { return binary.NativeEndian.Uint16([]byte{0, 1}) == 1 }
