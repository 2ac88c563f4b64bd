package shmseg

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/shmwire/shmwire/internal/mem"
	"github.com/shmwire/shmwire/internal/sys"
)

// Segment is a segment in this process's memory, made by [CreateMemfd] or [AttachMemfd], [CreateNamed] or [OpenNamed].
// Its owner ends it with [Segment.Detach]; dropping it keeps the memory mapped.
//
// Its methods may be called from any goroutine. The memory handed out by Region and Bytes is valid until Detach.
type Segment struct {
	kind     Kind
	offsets  []int // of the regions
	sizes    []int // of the regions
	size     int   // of the segment
	writable bool

	// Of a named segment; zero otherwise.
	name string
	path string // of its file, absolute
	id   fileID
	sys  *sys.Table

	mu    sync.Mutex // protects the following
	bytes []byte     // nil once detached
	file  *os.File   // nil for an attached memfd, and once detached
}

// newSegment returns a segment of the given kind that is laid out but not yet mapped. It keeps a copy of sizes.
func newSegment(kind Kind, sizes []int) (*Segment, error) {
	s := &Segment{kind: kind}
	return s, s.layOut(sizes)
}

// layOut gives the segment regions of these sizes. It keeps a copy of them.
func (s *Segment) layOut(sizes []int) (err error) {
	s.sizes = slices.Clone(sizes)
	s.offsets, s.size, err = layout(sizes)
	return err
}

// Region returns region i, counted from 0: its length and capacity are the region's size. It is valid until Detach.
// The bytes are shared with other processes, which may change them at any time. Unless the segment is [Segment.Writable]
// they can only be read, and writing to them is a fault that ends the process; so is any access to a named segment's
// memory that somebody has truncated away, outside of [Segment.Guard].
//
// Region panics if there is no such region or the segment is detached.
func (s *Segment) Region(i int) []byte {
	if i < 0 || i >= len(s.sizes) {
		panic(fmt.Sprintf("shmseg: region %d of a segment of %d regions", i, len(s.sizes)))
	}
	start, end := s.offsets[i], s.offsets[i]+s.sizes[i]
	return s.Bytes()[start:end:end]
}

// Bytes returns the whole segment, header included, under the same conditions as [Segment.Region].
// It panics if the segment is detached.
func (s *Segment) Bytes() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bytes == nil {
		panic(fmt.Sprintf("shmseg: use of a detached %v segment of %d bytes", s.kind, s.size))
	}
	return s.bytes
}

// Size returns the size of the segment in bytes, header included.
func (s *Segment) Size() int { return s.size }

// Kind tells how the kernel holds the segment.
func (s *Segment) Kind() Kind { return s.kind }

// Name returns the name that a named segment was created or opened by, and nothing of a memfd.
func (s *Segment) Name() string { return s.name }

// dir returns the directory that a named segment's file was created or opened in.
func (s *Segment) dir() string { return filepath.Dir(s.path) }

// Writable reports whether this process may write the regions: whether it made the segment, or opened it by name and
// not read-only.
func (s *Segment) Writable() bool { return s.writable }

// FD returns the descriptor of the segment, to be sent to a peer, or -1 if there is none: an attached memfd's is closed
// as soon as it is mapped, a created one's and a named segment's by Detach. It stays the segment's: do not close it, and
// call Detach only after the last use of it. Peers open a named segment by its name; the lock that says that it is in
// use lasts as long as any duplicate of the descriptor.
func (s *Segment) FD() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file == nil {
		return -1
	}
	return int(s.file.Fd())
}

// Header returns what the header of the segment says now. Of a segment made by somebody else that is what its creator
// wants us to see: show it to people, decide nothing by it.
//
// It returns an error as [DecodeHeader] does, and one that Is
//   - [ErrGeometry] or [ErrTruncated] if kind, size or regions are not the segment's,
//   - [ErrStale] if it names another start of the machine.
//
// It panics if the segment is detached.
func (s *Segment) Header() (Header, error) {
	local, err := s.headerBytes()
	if err != nil {
		return Header{}, err
	}
	h, err := DecodeHeader(local)
	if err != nil {
		return Header{}, err
	}
	if err := s.checkOwn(h); err != nil {
		return Header{}, err
	}
	return h, nil
}

// headerBytes returns a copy of the header, so that all checks look at one and the same while others go on writing.
func (s *Segment) headerBytes() ([]byte, error) {
	b := s.Bytes()
	if s.kind == Named {
		s.mu.Lock()
		defer s.mu.Unlock()
		return readHeader(s.sys, int(s.file.Fd()))
	}
	// sync(header-ready) takes over: the magic number was stored last, so the header is whole. Pairs with writeHeader.
	mem.Uint64At(b, offMagic).Load()
	return slices.Clone(b[:HeaderBytes]), nil
}

// checkOwn compares a decoded header with what this process knows of the segment.
func (s *Segment) checkOwn(h Header) error {
	if h.Kind != s.kind {
		return geometry("kind", offKind, h.Kind, s.kind)
	}
	if h.Size > uint64(s.size) {
		return &HeaderError{"size", offSize, fmt.Sprint(h.Size), fmt.Sprint(s.size), ErrTruncated}
	}
	if h.Size != uint64(s.size) {
		return geometry("size", offSize, h.Size, s.size)
	}
	if len(h.Regions) != len(s.sizes) {
		return geometry("region count", offRegionCount, len(h.Regions), len(s.sizes))
	}
	for i, r := range h.Regions {
		if want := (Region{uint64(s.offsets[i]), uint64(s.sizes[i])}); r != want {
			return geometry("region", offRegions+i*regionEntryBytes, r, want)
		}
	}
	boot, err := sys.BootID()
	if known := err == nil && h.BootID != [16]byte{}; known && h.BootID != boot {
		return &HeaderError{"boot id", offBootID, fmt.Sprintf("%x", h.BootID), fmt.Sprintf("%x", boot), ErrStale}
	}
	return nil
}

// Detach unmaps the segment and closes its descriptor if it has one. A created memfd lives on as long as a peer has it
// attached, a named segment as long as it has its name or somebody has it open. Further calls do nothing and return nil.
//
// No goroutine may use memory of the segment any more: an access after Detach ends the process.
func (s *Segment) Detach() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	if s.bytes != nil {
		errs = append(errs, unmap(s.bytes))
		s.bytes = nil
	}
	if s.file != nil {
		errs = append(errs, s.file.Close())
		s.file = nil
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("detach segment: %w", err)
	}
	return nil
}
