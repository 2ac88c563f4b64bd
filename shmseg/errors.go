package shmseg

import (
	"errors"
	"fmt"
)

// What can be wrong with a segment's header. [DecodeHeader] wraps them in a *[HeaderError] that says where, got and
// want.
var (
	// ErrNotSegment says that the magic number is missing: something else, or a segment that was never finished.
	ErrNotSegment = errors.New("not a segment")
	// ErrTruncated says that there are fewer bytes than the header needs or promises.
	ErrTruncated = errors.New("truncated segment")
	// ErrVersion says that the segment has a layout that this package does not know.
	ErrVersion = errors.New("unknown segment version")
	// ErrByteOrder says that the segment's words were written in the other byte order.
	ErrByteOrder = errors.New("segment of another byte order")
	// ErrChecksum says that the header was damaged.
	ErrChecksum = errors.New("wrong header checksum")
	// ErrGeometry says that sizes, offsets or other fields contradict each other or exceed their bounds.
	ErrGeometry = errors.New("bad segment geometry")
	// ErrStale says that the segment was made before the machine last started, or that it has lost its name.
	ErrStale = errors.New("stale segment")
)

// HeaderError tells which field of a header is wrong. It unwraps to one of the package's errors.
type HeaderError struct {
	Field     string // name of the field
	Offset    int    // its byte offset in the header
	Got, Want string // what it holds and what was expected
	Err       error  // ErrNotSegment, ErrTruncated, ErrVersion, ErrByteOrder, ErrChecksum, ErrGeometry or ErrStale
}

// Error tells field, place, got and want.
func (e *HeaderError) Error() string {
	return fmt.Sprintf("%v: %s at byte %d: got %s, want %s", e.Err, e.Field, e.Offset, e.Got, e.Want)
}

// Unwrap returns the kind of error.
func (e *HeaderError) Unwrap() error { return e.Err }

// The checks of [AttachMemfd], in their order; [OpenNamed] makes those of file type, owner and file system.
const (
	CheckSeals      = "seals"       // F_GET_SEALS holds all four
	CheckFileSystem = "file system" // fstatfs says tmpfs
	CheckFileType   = "file type"   // fstat says regular file
	CheckSize       = "size"        // and exactly the size agreed
	CheckOwner      = "owner"       // the file belongs to this user, or to one accepted
)

// AttachError tells why [AttachMemfd] refused a descriptor, or [OpenNamed] a file, or why [CreateNamed] did not want a
// directory.
type AttachError struct {
	Check     string // CheckSeals, CheckFileSystem, CheckFileType, CheckSize or CheckOwner
	Got, Want string // what the kernel says and what was expected; Got is empty if it did not say
	Err       error  // the failed system call, if one failed
}

// Error tells the check, got and want.
func (e *AttachError) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("check %s: want %s: %v", e.Check, e.Want, e.Err)
	}
	return fmt.Sprintf("check %s: got %s, want %s", e.Check, e.Got, e.Want)
}

// Unwrap returns the failed system call's error, or nil.
func (e *AttachError) Unwrap() error { return e.Err }
