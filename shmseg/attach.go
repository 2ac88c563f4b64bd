package shmseg

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"github.com/shmwire/shmwire/internal/sys"
)

// AttachOptions say what segment is expected.
type AttachOptions struct {
	// Regions are the sizes of the regions in bytes, agreed with the creator beforehand and bounded by the caller:
	// attaching maps as much memory as they add up to, and reading it may be charged to this process.
	Regions []int
	// Sys replaces system calls in tests; nil means the real ones.
	Sys *sys.Table
}

// AttachMemfd maps the segment behind fd, which came from a peer, read-only. It takes fd over: whether it succeeds or
// fails, fd is closed when it returns. The caller owns the segment and ends it with Detach.
//
// Before it maps anything it makes sure that nobody can truncate the segment or pull its pages away: it must be
// sealed as [CreateMemfd] seals, lie on tmpfs (huge pages are refused), be a regular file and have exactly the size
// that [Layout] gives for the regions. A descriptor that fails is refused with an *[AttachError]. The header is not
// read.
//
// Other errors: [ErrGeometry] if Layout would refuse the sizes, [errors.ErrUnsupported] where there are no memfds, and an
// *os.SyscallError if mmap fails.
func AttachMemfd(fd int, o AttachOptions) (*Segment, error) {
	s, err := attachMemfd(fd, o)
	if err != nil {
		return nil, fmt.Errorf("attach memfd segment: %w", err)
	}
	return s, nil
}

func attachMemfd(fd int, o AttachOptions) (*Segment, error) {
	s, err := checkedMemfd(fd, o)
	if err != nil {
		_ = sys.Close(fd) // keeps S5; what close says of a descriptor that was refused is of no use
		return nil, err
	}
	file := os.NewFile(uintptr(fd), "memfd:shmwire")
	s.bytes, err = mapFile(file, s.size, false)
	_ = file.Close() // the mapping stays, and there is nothing to be flushed
	if err != nil {
		return nil, err
	}
	return s, nil
}

// checkedMemfd returns the segment to be mapped if fd may be.
func checkedMemfd(fd int, o AttachOptions) (*Segment, error) {
	if !sharedWords {
		return nil, fmt.Errorf("64-bit atomics on %s are local to a process: %w", runtime.GOARCH, errors.ErrUnsupported)
	}
	s, err := newSegment(Memfd, o.Regions)
	if err != nil {
		return nil, err
	}
	if err := checkSeals(o.Sys, fd); err != nil {
		return nil, err
	}
	if err := checkFileSystem(o.Sys, fd); err != nil {
		return nil, err
	}
	if err := checkFile(o.Sys, fd, s.size); err != nil {
		return nil, err
	}
	return s, nil
}

// checkSeals comes first because it asks no file system: fstat and fstatfs of a file whose file system the peer
// itself serves can block for ever.
func checkSeals(t *sys.Table, fd int) error {
	want := fmt.Sprintf("at least %#x (shrink, grow, future write, seal)", oneWriter)
	seals, err := t.Seals(fd)
	if err != nil {
		return &AttachError{Check: CheckSeals, Want: want, Err: err}
	}
	if seals&oneWriter != oneWriter {
		return &AttachError{Check: CheckSeals, Got: fmt.Sprintf("%#x", seals), Want: want}
	}
	return nil
}

// checkFileSystem refuses huge pages, which can be sealed too but fault when the machine's pool of them is empty.
func checkFileSystem(t *sys.Table, fd int) error {
	want := sys.FileSystemName(sys.TMPFS_MAGIC)
	magic, err := t.FileSystem(fd)
	if err != nil {
		return &AttachError{Check: CheckFileSystem, Want: want, Err: err}
	}
	if magic != sys.TMPFS_MAGIC {
		return &AttachError{Check: CheckFileSystem, Got: sys.FileSystemName(magic), Want: want}
	}
	return nil
}

func checkFile(t *sys.Table, fd, size int) error {
	st, err := regular(t, fd)
	if err != nil {
		return err
	}
	if st.Size != int64(size) {
		return &AttachError{Check: CheckSize, Got: fmt.Sprintf("%d bytes", st.Size), Want: fmt.Sprintf("%d bytes", size)}
	}
	return nil
}

// regular returns what fstat tells of fd if that is a regular file.
func regular(t *sys.Table, fd int) (sys.Stat, error) {
	st, err := t.Stat(fd)
	if err != nil {
		return st, &AttachError{Check: CheckFileType, Want: "a regular file", Err: err}
	}
	if !st.IsRegular() {
		return st, &AttachError{Check: CheckFileType, Got: fmt.Sprintf("mode %#o", st.Mode), Want: "a regular file"}
	}
	return st, nil
}
