package shmseg

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"runtime"

	"github.com/shmwire/shmwire/internal/sys"
)

// Peek is a segment as an inspector has it: it can be looked at, whoever made it and whether or not anybody still uses
// it, and nothing of it can be written. Its user ends it with [Peek.Close]. Its methods belong to one goroutine at a
// time.
type Peek struct {
	file   *os.File
	kind   Kind
	stat   sys.Stat
	start  []byte // a copy of the first HeaderBytes bytes, or as many as there are
	header Header
	bytes  []byte // nil until Map
}

// PeekFile opens the named segment in the file at path for looking at it. It follows no symbolic link, waits for
// nothing, takes no lock, and refuses with [ErrNotSegment] whatever is no regular file. On systems other than Linux it
// returns [errors.ErrUnsupported].
func PeekFile(path string) (*Peek, error) {
	file, err := sys.OpenReadOnly(path)
	if err != nil {
		return nil, fmt.Errorf("look at %s: %w", path, err)
	}
	p, err := newPeek(file, Named)
	if err != nil {
		return nil, fmt.Errorf("look at %s: %w", path, err)
	}
	return p, nil
}

// peekThrough opens the memfd that way leads to if it still is the one with the given numbers.
func peekThrough(way string, dev, ino uint64) (*Peek, error) {
	fd, err := sys.Pin(way)
	if err != nil {
		return nil, err
	}
	defer sys.Close(fd)
	st, err := sys.StatPinned(fd)
	if err != nil {
		return nil, err
	}
	if st.Dev != dev || st.Ino != ino {
		return nil, fs.ErrNotExist // the process has closed it and opened something else
	}
	file, err := sys.OpenPinned(fd)
	if err != nil {
		return nil, err
	}
	return newPeek(file, Memfd)
}

// newPeek takes file over.
func newPeek(file *os.File, kind Kind) (*Peek, error) {
	p := &Peek{file: file, kind: kind}
	if err := p.read(); err != nil {
		_ = file.Close() // nothing was written to it
		return nil, err
	}
	return p, nil
}

func (p *Peek) read() (err error) {
	if p.stat, err = (*sys.Table)(nil).Stat(int(p.file.Fd())); err != nil {
		return err
	}
	if !p.stat.IsRegular() {
		return fmt.Errorf("%w: mode %#o, want a regular file", ErrNotSegment, p.stat.Mode)
	}
	// Read, not mapped: a file that shrinks meanwhile is a short read then and not a fault.
	p.start = make([]byte, HeaderBytes)
	n, err := p.file.ReadAt(p.start, 0)
	if err != nil && err != io.EOF {
		return err
	}
	p.start = p.start[:n]
	return nil
}

// Close ends the look: the regions are unmapped. A second call does nothing.
func (p *Peek) Close() error {
	var errs []error
	if p.bytes != nil {
		errs = append(errs, unmap(p.bytes))
		p.bytes = nil
	}
	if p.file != nil {
		errs = append(errs, p.file.Close())
		p.file = nil
	}
	return errors.Join(errs...)
}

// File tells which file the segment is, for the kernel; compare with [Sighting].
func (p *Peek) File() (dev, ino uint64) { return p.stat.Dev, p.stat.Ino }

// Size returns the size in bytes of the file.
func (p *Peek) Size() int64 { return p.stat.Size }

// Sealed reports whether it is a memfd sealed as [CreateMemfd] seals, so that nobody but its creator can change it.
func (p *Peek) Sealed() bool {
	if p.file == nil {
		return false
	}
	seals, err := (*sys.Table)(nil).Seals(int(p.file.Fd()))
	return err == nil && seals&oneWriter == oneWriter
}

// Preamble is the part of a header that is the same in every version of the layout.
type Preamble struct {
	Version     uint32 // of the layout
	HeaderBytes uint32 // size of the whole header
}

// Preamble returns the first 16 bytes of the header, which can be understood whatever the version is. The error is that
// of [DecodePreamble].
func (p *Peek) Preamble() (Preamble, error) { return DecodePreamble(p.start) }

// DecodePreamble returns the first 16 bytes of a header of any version. The error is a *[HeaderError] that Is
// [ErrNotSegment] or [ErrTruncated].
func DecodePreamble(b []byte) (Preamble, error) {
	err := checkPreamble(b)
	if errors.Is(err, ErrNotSegment) {
		return Preamble{}, err
	}
	if len(b) < offByteOrder {
		return Preamble{}, &HeaderError{"preamble", 0, fmt.Sprintf("%d bytes", len(b)), fmt.Sprint(offByteOrder), ErrTruncated}
	}
	le := binary.LittleEndian
	return Preamble{Version: le.Uint32(b[offVersion:]), HeaderBytes: le.Uint32(b[offHeaderBytes:])}, nil
}

// Header returns the header as it was when the look began. The errors are those of [DecodeHeader], and [ErrTruncated] or
// [ErrGeometry] if it does not fit the file. A header of another start of the machine is no error: see Header.BootID.
func (p *Peek) Header() (Header, error) {
	h, err := DecodeHeader(p.start)
	switch {
	case err != nil:
		return Header{}, err
	case h.Kind != p.kind:
		return Header{}, geometry("kind", offKind, h.Kind, p.kind)
	case h.Size > uint64(p.stat.Size):
		return Header{}, &HeaderError{"size", offSize, fmt.Sprint(h.Size), fmt.Sprint(p.stat.Size), ErrTruncated}
	case h.Size != uint64(p.stat.Size):
		return Header{}, geometry("size", offSize, h.Size, p.stat.Size)
	}
	return h, nil
}

// Map maps the segment read-only, after which [Peek.Region] can be used. The errors are those of [Peek.Header],
// [errors.ErrUnsupported] where 64-bit words cannot be shared, and an *os.SyscallError if mmap fails.
func (p *Peek) Map() error {
	if !sharedWords {
		return fmt.Errorf("64-bit atomics on %s are local to a process: %w", runtime.GOARCH, errors.ErrUnsupported)
	}
	h, err := p.Header()
	if err != nil {
		return err
	}
	if h.Size > math.MaxInt {
		return geometry("size", offSize, h.Size, "what can be addressed")
	}
	b, err := mapFile(p.file, int(h.Size), false)
	if err != nil {
		return fmt.Errorf("map segment of %d bytes: %w", h.Size, err)
	}
	p.header, p.bytes = h, b
	return nil
}

// Region returns region i, counted from 0, or nil if the segment has none such. It is mapped read-only, so writing to it
// ends the process, and valid until Close. Look at it inside [Guard]. It panics before Map.
func (p *Peek) Region(i int) []byte {
	if p.bytes == nil {
		panic("shmseg: region of a segment that is not mapped")
	}
	if i < 0 || i >= len(p.header.Regions) {
		return nil
	}
	r := p.header.Regions[i] // bounded by Size, which is that of the mapping
	return p.bytes[r.Offset : r.Offset+r.Size : r.Offset+r.Size]
}
