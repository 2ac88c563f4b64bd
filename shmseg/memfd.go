package shmseg

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/shmwire/shmwire/internal/mem"
	"github.com/shmwire/shmwire/internal/sys"
)

const (
	// namePrefix starts the name of every memfd, so that inspectors find them in /proc.
	namePrefix = "shmwire:"
	// maxNameBytes is what the kernel's 249 leave beside the prefix.
	maxNameBytes = 249 - len(namePrefix)

	// oneWriter are the seals that leave the creator's mapping the only way to write (S3): no truncation under a
	// reader's feet, no second writable mapping, no write, no hole, and no seal taken or added any more.
	oneWriter = sys.F_SEAL_SHRINK | sys.F_SEAL_GROW | sys.F_SEAL_FUTURE_WRITE | sys.F_SEAL_SEAL
)

// MemfdOptions say what segment to make.
type MemfdOptions struct {
	// Name appears as "memfd:shmwire:NAME" in /proc/PID/fd and /proc/PID/maps, for people only. It may be empty, need
	// not be unique, has at most 241 bytes and no zero byte.
	Name string
	// Regions are the sizes of the regions in bytes, as for [Layout].
	Regions []int
	// Link is for segments that belong together, such as the two of a connection: the same random bytes in the header of
	// each let inspectors find the other. Zero means that the segment stands alone.
	Link [16]byte
	// Prefault gives every page its memory now (about 1 ms per MiB) instead of at its first touch, and fails now if
	// there is not enough.
	Prefault bool
	// Sys replaces system calls in tests; nil means the real ones.
	Sys *sys.Table
}

// CreateMemfd makes a sealed segment that this process alone can write, and maps it read-write. Its regions are zero.
// The caller owns it and ends it with Detach; the kernel frees it when nobody has it open or mapped any more, so
// nothing is left of it when processes die.
//
// It returns an error that Is
//   - [errors.ErrUnsupported] if the operating system, the kernel or a policy of this machine has no memfds or no such
//     seals (memfd_create or F_ADD_SEALS answer ENOSYS, EINVAL, EPERM or EACCES),
//   - [ErrGeometry] if Layout would refuse the sizes,
//
// and an *os.SyscallError that names the call if another one failed. Nothing is left behind then.
func CreateMemfd(o MemfdOptions) (*Segment, error) {
	s, err := createMemfd(o)
	if err != nil {
		return nil, fmt.Errorf("create memfd segment: %w", err)
	}
	return s, nil
}

func createMemfd(o MemfdOptions) (*Segment, error) {
	if !sharedWords {
		return nil, fmt.Errorf("64-bit atomics on %s are local to a process: %w", runtime.GOARCH, errors.ErrUnsupported)
	}
	if len(o.Name) > maxNameBytes || strings.IndexByte(o.Name, 0) >= 0 {
		return nil, fmt.Errorf("name %q of %d bytes, want at most %d and no zero byte", o.Name, len(o.Name), maxNameBytes)
	}
	s, err := newSegment(Memfd, o.Regions)
	if err != nil {
		return nil, err
	}
	fd, err := o.Sys.CreateMemfd(namePrefix + o.Name)
	if err != nil {
		return nil, refused(err)
	}
	s.file = os.NewFile(uintptr(fd), namePrefix+o.Name)
	s.writable = true
	if err := s.build(o, fd); err != nil {
		return nil, errors.Join(err, s.Detach()) // keeps S5
	}
	return s, nil
}

// build sizes, maps, fills in and seals the new memfd fd. Only the mapping made before the seals can write, so the
// order is fixed.
func (s *Segment) build(o MemfdOptions, fd int) (err error) {
	if err = o.Sys.Truncate(fd, int64(s.size)); err != nil {
		return err
	}
	if s.bytes, err = mapFile(s.file, s.size, true); err != nil {
		return err
	}
	if o.Prefault {
		if err = prefault(o.Sys, fd, s.bytes); err != nil {
			return err
		}
	}
	h := s.newHeader()
	h.Link = o.Link
	writeHeader(s.bytes, h)
	if err = o.Sys.Seal(fd, oneWriter); err != nil {
		return refused(err)
	}
	// Until it was sealed, whoever found the memfd in /proc could have changed its size.
	st, err := o.Sys.Stat(fd)
	if err != nil {
		return err
	}
	if st.Size != int64(s.size) {
		return fmt.Errorf("sealed segment has %d bytes, want %d", st.Size, s.size)
	}
	return nil
}

// prefault gives all pages of the writable mapping b of fd their memory.
func prefault(t *sys.Table, fd int, b []byte) error {
	err := t.Prefault(b)
	if errors.Is(err, sys.EINVAL) { // before Linux 5.14: the pages at least, though not their mapping
		err = t.Reserve(fd, int64(len(b)))
	}
	return err
}

// newHeader describes the segment, made now by this process.
func (s *Segment) newHeader() Header {
	self := sys.Self()
	h := Header{
		Version:      version,
		PageBytes:    uint32(os.Getpagesize()),
		LineBytes:    mem.LineBytes,
		Kind:         s.kind,
		Size:         uint64(s.size),
		Regions:      make([]Region, len(s.sizes)),
		Generation:   1,
		CreatorPID:   self.PID,
		CreatorStart: self.Start,
		BootID:       self.BootID,
		PIDNamespace: self.PIDNamespace,
		Created:      time.Now().UTC(),
	}
	for i := range s.sizes {
		h.Regions[i] = Region{uint64(s.offsets[i]), uint64(s.sizes[i])}
	}
	_, _ = rand.Read(h.ID[:]) // never fails: it would end the process
	return h
}

// refused marks an error of memfd_create or F_ADD_SEALS as [errors.ErrUnsupported] if it says that the kernel does not
// know the call or its flags (ENOSYS, EINVAL) or that a policy forbids it (EPERM and EACCES from seccomp and security
// modules), but not if a limit was hit.
func refused(err error) error {
	for _, errno := range []error{sys.ENOSYS, sys.EINVAL, sys.EPERM, sys.EACCES} {
		if errors.Is(err, errno) && !errors.Is(err, errors.ErrUnsupported) {
			return fmt.Errorf("%w: %w", err, errors.ErrUnsupported)
		}
	}
	return err
}
