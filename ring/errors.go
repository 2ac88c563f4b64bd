package ring

import (
	"errors"
	"fmt"
)

// ErrCorrupt is returned when the other side's region holds something that the protocol rules out. The error is a
// [*CorruptError]; the handle is of no use any more and returns the same error from every later call.
var ErrCorrupt = errors.New("ring: corrupt")

// ErrTooLarge is returned for a message longer than [Geometry.MaxRecord]. The error is a [*TooLargeError]. Nothing has
// been sent, and the handle goes on.
var ErrTooLarge = errors.New("ring: message too large")

// CorruptError says which word of the other side's region is impossible.
type CorruptError struct {
	Region   string // whose region it is: "producer" or "consumer"
	Field    string // for example "record length" or "position"
	Position uint64 // our own position when the word was read
	Got      uint64 // what the field said
	Want     string // what it may say
}

// Error tells region, field, place, got and want.
func (e *CorruptError) Error() string {
	return fmt.Sprintf("ring: corrupt %s region: %s at position %d is %d, want %s", e.Region, e.Field, e.Position, e.Got, e.Want)
}

// Unwrap returns [ErrCorrupt].
func (e *CorruptError) Unwrap() error { return ErrCorrupt }

// TooLargeError tells the length of a message that cannot be sent, and the limit.
type TooLargeError struct {
	Got int // bytes
	Max int // bytes
}

// Error tells both numbers.
func (e *TooLargeError) Error() string {
	return fmt.Sprintf("ring: message of %d bytes, the longest record has %d", e.Got, e.Max)
}

// Unwrap returns [ErrTooLarge].
func (e *TooLargeError) Unwrap() error { return ErrTooLarge }
