package shmseg

import (
	"fmt"
	"runtime"
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
	before := debug.SetPanicOnFault(true)
	defer func() {
		debug.SetPanicOnFault(before)
		r := recover()
		if r == nil {
			return
		}
		at, ok := faultIn(b, r)
		if !ok {
			panic(r)
		}
		err = fmt.Errorf("access byte %d of a %v segment of %d bytes: %w", at, s.kind, len(b), ErrTruncated)
	}()
	f()
	return nil
}

// faultIn returns which byte of b was touched if r is what the runtime panicked with because of that.
func faultIn(b []byte, r any) (at uintptr, ok bool) {
	fault, ok := r.(interface {
		runtime.Error
		Addr() uintptr
	})
	if !ok {
		return 0, false
	}
	at = fault.Addr() - addressOf(b)
	return at, at < uintptr(len(b))
}
