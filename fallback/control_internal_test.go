package fallback

import (
	"errors"
	"testing"
)

// heard is what a channel's reader was told.
type heard struct {
	frames  int
	bells   int
	refused bool
}

// hear feeds b to parseControl in pieces of the lengths that cut says, as Serve does, and returns what came of it and
// how many bytes were left over.
func hear(t *testing.T, b, cut []byte) (h heard, left int) {
	buf := make([]byte, ctlReadBytes)
	for i := 0; len(b) > 0; i++ {
		n := len(buf) - left
		if len(cut) > 0 {
			n = min(n, 1+int(cut[i%len(cut)]))
		}
		n = copy(buf[left:], b[:min(n, len(b))])
		b = b[n:]
		bells := 0
		var err error
		left, err = parseControl(buf, left+n, func() { bells++ }, func() { h.frames++ })
		if bells > 1 {
			t.Fatalf("%d bells for bytes that came at once", bells)
		}
		h.bells += bells
		if err != nil {
			if !errors.Is(err, ErrFrame) {
				t.Fatalf("error %v is no ErrFrame", err)
			}
			h.refused = true
			return h, 0
		}
		if left >= frameHeader+maxCtlFrame {
			t.Fatalf("%d bytes are kept back", left)
		}
	}
	return h, left
}

// FuzzControl: arbitrary bytes from the peer never panic and never pile up, and mean the same however they are cut.
func FuzzControl(f *testing.F) {
	end := []byte{FrameEnd, 0, 0, 0, 0}
	f.Add([]byte{0, 0, 0}, []byte{0})
	f.Add(end, []byte{0})
	f.Add(append(append([]byte{0}, end...), 0, 0), []byte{1, 2})
	f.Add([]byte{FrameEnd, 3, 0, 0, 0, 0, 0, 0, 0}, []byte{2})
	f.Add([]byte{0, FrameMessage, 0, 0, 0, 0}, []byte{4})
	f.Add([]byte{FrameEnd, 65, 0, 0, 0}, []byte{0})
	f.Fuzz(func(t *testing.T, b, cut []byte) {
		whole, left := hear(t, b, nil)
		parts, leftParts := hear(t, b, cut)
		if whole.frames != parts.frames || whole.refused != parts.refused || left != leftParts {
			t.Fatalf("whole: %+v, %d left; in parts: %+v, %d left", whole, left, parts, leftParts)
		}
		// What comes with garbage need not be rung for: it ends the connection.
		if !whole.refused && (whole.bells > 0) != (parts.bells > 0) {
			t.Fatalf("whole: %+v; in parts: %+v", whole, parts)
		}
	})
}
