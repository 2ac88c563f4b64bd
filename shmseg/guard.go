package shmseg

import (
	"fmt"
	"runtime/debug"
)

// Guard calls f and returns nil, or an error that Is [ErrTruncated] if f touched memory of this segment that is not
// there any more because somebody truncated the file: without Guard that ends the process. Other panics and faults go
// through. A segment made by [CreateMemfd] cannot be truncated and needs no guard.
//
// The guard holds for f itself, not for goroutines that f starts. What f was doing when it was cut short stays half
// done: copy out of the segment and back, hold no lock and call nothing that does. It costs some tens of nanoseconds
// and may be nested; f must not detach the segment.
func (s *Segment) Guard(f func()) (err error) {
	b := s.Bytes()
	if gone, at := guarded(f, b); gone {
		return fmt.Errorf("access byte %d of a %v segment of %d bytes: %w", at, s.kind, len(b), ErrTruncated)
	}
	return nil
}

// Guard calls look, which reads regions of the given peeks in its own goroutine. If their memory gives way under it,
// because somebody truncated the file or the machine has no memory for a page that was never touched, Guard returns an
// error that Is [ErrTruncated]; panics of other causes go on. Peeks may be nil.
func Guard(look func(), peeks ...*Peek) (err error) {
	var spans [][]byte
	for _, p := range peeks {
		if p != nil {
			spans = append(spans, p.bytes)
		}
	}
	if gone, _ := guarded(look, spans...); gone {
		return fmt.Errorf("%w: its memory gave way under the look", ErrTruncated)
	}
	return nil
}

// guarded calls f and reports whether memory of one of the spans gave way under it, and at which byte of that.
func guarded(f func(), spans ...[]byte) (gone bool, at uintptr) {
	before := debug.SetPanicOnFault(true)
	defer func() {
		debug.SetPanicOnFault(before)
		cause := recover()
		if cause == nil {
			return
		}
		for _, span := range spans {
			if at, gone = faultIn(span, cause); gone {
				return
			}
		}
		panic(cause)
	}()
	f()
	return false, 0
}

// faultIn returns which byte of b was touched if cause is what the runtime panicked with because of that.
func faultIn(b []byte, cause any) (at uintptr, ok bool) {
	fault, ok := cause.(interface{ Addr() uintptr })
	if !ok || len(b) == 0 {
		return 0, false
	}
	at = fault.Addr() - addressOf(b)
	return at, at < uintptr(len(b))
}
