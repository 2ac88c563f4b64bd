package shmseg

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"

	"github.com/shmwire/shmwire/internal/sys"
)

// NamedOptions say what named segment to make.
type NamedOptions struct {
	// Dir is the directory to make it in, on a tmpfs. The default is /dev/shm. Who may write to the directory may remove
	// the segment's name, unless the directory is sticky as /dev/shm is.
	Dir string
	// Regions are the sizes of the regions in bytes, as for [Layout].
	Regions []int
	// Mode are the permission bits of the file, whatever the umask: 0600 at least and 0666 at most. The default is 0600.
	// More of them extend trust: who may read the segment sees all its bytes and can, by locks, keep it from being taken
	// for unused and from being removed; who may write it can change everything, and truncate it, which makes accesses in
	// every process that has it mapped fault (see [Segment.Guard]).
	Mode os.FileMode
	// Prefault maps every page now (about 1 ms per MiB) instead of at its first touch. The memory itself is reserved in
	// any case.
	Prefault bool
	// Init, if not nil, is called before the segment has its name, so that nobody sees its regions before Init has filled
	// them in. An error ends CreateNamed, which returns it. Init is called again, for another new segment, in the rare
	// case that somebody cleaned the first one up as litter. It must not detach the segment.
	Init func(s *Segment) error
	// Sys replaces system calls in tests; nil means the real ones.
	Sys *sys.Table
}

func (o *NamedOptions) validate() error {
	if o.Mode == 0 {
		o.Mode = 0o600
	}
	if o.Mode&0o600 != 0o600 || o.Mode&^0o666 != 0 {
		return fmt.Errorf("mode %#o, want 0600 to 0666 without execute bits: %w", uint32(o.Mode), os.ErrInvalid)
	}
	return nil
}

// CreateNamed makes the segment called name, which other processes open with [OpenNamed], and maps it read-write. Its
// regions are zero, or what Init made of them, and its memory is reserved. The caller owns the Segment and ends it with
// Detach; name and contents stay until [Segment.Remove] or [RemoveNamed], also when no process has the segment mapped.
//
// A name has 1 to 229 bytes of UTF-8, no slash, no control character, and no dot at its start. The segment is the file
// shmwire.NAME in the directory. It gets that name once it is complete, so nobody sees a half-made one, and only if
// nothing has the name yet.
//
// It returns an error that Is
//   - [os.ErrExist] if anything has that name,
//   - [os.ErrInvalid] if the name or the mode cannot be,
//   - [ErrGeometry] if Layout would refuse the sizes,
//   - [errors.ErrUnsupported] if the system has no such files or locks,
//
// an *[AttachError] if the directory is not on a tmpfs, and an *os.SyscallError that names the call if another one
// failed: [syscall.ENOSPC] if there is not enough memory, [syscall.EFBIG] if RLIMIT_FSIZE forbids the size. Nothing is
// left behind then. A process that is killed in the middle may leave a file .shmwire.NAME.DIGITS on which nobody holds
// a lock.
func CreateNamed(name string, o NamedOptions) (*Segment, error) {
	s, err := createNamed(name, o)
	if err != nil {
		return nil, fmt.Errorf("create named segment: %w", err)
	}
	return s, nil
}

func createNamed(name string, o NamedOptions) (s *Segment, err error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	if _, _, err := layout(o.Regions); err != nil {
		return nil, err
	}
	p, err := openPlace(o.Sys, o.Dir, name)
	if err != nil {
		return nil, err
	}
	defer p.close()
	err = persist(func() error {
		s, err = p.create(o)
		return err
	})
	return s, err
}

// create makes the segment under a temporary name and then gives it its own.
func (p *place) create(o NamedOptions) (_ *Segment, err error) {
	if err := p.vacant(); err != nil {
		return nil, err // told before memory is taken
	}
	temp := p.temporary()
	fd, err := p.sys.CreateAt(p.dir, temp)
	if errors.Is(err, sys.EEXIST) {
		return nil, lostRace(errors.New("temporary name in use"))
	}
	if err != nil {
		return nil, err
	}
	s := p.newNamed(fd, fileID{}, true)
	done := false
	defer func() {
		if !done { // also when Init panics
			err = errors.Join(err, p.discard(temp), s.Detach()) // keeps S5
		}
	}()
	if err = s.buildNamed(o, fd); err != nil {
		return nil, err
	}
	if err = p.publish(temp, s.id); err != nil {
		return nil, err
	}
	done = true
	return s, nil
}

// vacant returns an error if something has the place's name already.
func (p *place) vacant() error {
	_, err := p.sys.StatAt(p.dir, p.file)
	if err == nil {
		return fmt.Errorf("%s: %w", p.path, os.ErrExist)
	}
	if errors.Is(err, sys.ENOENT) {
		return nil
	}
	return err
}

func (p *place) temporary() string {
	var random [tempRandomBytes]byte
	_, _ = rand.Read(random[:]) // never fails: it would end the process
	return fmt.Sprintf("%s%s.%x", tempPrefix, p.name, random)
}

// buildNamed fills in the new file fd. The lock comes first: without it the file is nobody's.
func (s *Segment) buildNamed(o NamedOptions, fd int) error {
	if err := s.shareLife(fd); err != nil {
		return err
	}
	if err := s.sys.Chmod(fd, uint32(o.Mode)); err != nil {
		return err
	}
	st, err := s.sys.Stat(fd)
	if err != nil {
		return err
	}
	s.id = idOf(st)
	if err := s.layOut(o.Regions); err != nil {
		return err
	}
	// Reserved rather than truncated to its size: where memory is short this fails, instead of an access later on.
	if err := s.sys.Reserve(fd, int64(s.size)); err != nil {
		return err
	}
	if s.bytes, err = mapFile(s.file, s.size, true); err != nil {
		return err
	}
	if o.Prefault {
		if err := prefault(s.sys, fd, s.bytes); err != nil {
			return err
		}
	}
	if o.Init != nil {
		if err := o.Init(s); err != nil {
			return err
		}
	}
	writeHeader(s.bytes, s.newHeader())
	return nil
}

// publish gives the complete file its final name (N1).
func (p *place) publish(temp string, id fileID) error {
	err := p.sys.RenameAt(p.dir, temp, p.file)
	if errors.Is(err, sys.EINVAL) || errors.Is(err, sys.ENOSYS) { // a kernel or file system that cannot do it at once
		err = p.publishByLink(temp, id)
	}
	if errors.Is(err, sys.ENOENT) {
		// Who cleans up found the file in the moment before it was locked.
		return lostRace(err)
	}
	return err
}

// publishByLink does in two steps what renameat2 does in one: the final name is there at once or not at all, but the
// temporary one stays a moment longer.
func (p *place) publishByLink(temp string, id fileID) error {
	if err := p.sys.LinkAt(p.dir, temp, p.file); err != nil {
		return err
	}
	err := p.sys.UnlinkAt(p.dir, temp)
	if err == nil || errors.Is(err, sys.ENOENT) {
		return nil
	}
	return errors.Join(err, p.remove(&id))
}

// discard removes the temporary name, unless somebody has done so already.
func (p *place) discard(temp string) error {
	err := p.sys.UnlinkAt(p.dir, temp)
	if errors.Is(err, sys.ENOENT) {
		return nil
	}
	return err
}
