package shmseg

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/shmwire/shmwire/internal/sys"
)

// defaultMaxBytes bounds a segment whose geometry is taken from its header, unless said otherwise.
const defaultMaxBytes = 1 << 30

// OpenOptions say what named segment is expected.
type OpenOptions struct {
	// Dir is the directory that it lies in, on a tmpfs. The default is /dev/shm.
	Dir string
	// ReadOnly maps it read-only; the file needs to be readable only. Writing to its memory is a fault then.
	ReadOnly bool
	// Regions are the sizes of the regions in bytes, as for [Layout]: a segment with others is refused. Nil means those
	// that the header says, within MaxBytes.
	Regions []int
	// MaxBytes bounds the size of a segment if Regions is nil. The default is 1 GiB.
	MaxBytes int
	// Owners are the user ids, beside this process's effective one, whose segments are accepted: each may change and
	// truncate its own at any time. The id that stands for users unknown in this user namespace (65534) must be named
	// here in any case.
	Owners []int
	// Sys replaces system calls in tests; nil means the real ones.
	Sys *sys.Table
}

func (o *OpenOptions) validate() error {
	if o.MaxBytes < 0 {
		return fmt.Errorf("MaxBytes %d, want at least 0: %w", o.MaxBytes, os.ErrInvalid)
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = defaultMaxBytes
	}
	if o.Regions == nil {
		return nil
	}
	_, total, err := layout(o.Regions)
	o.MaxBytes = total
	return err
}

// OpenNamed maps the segment that [CreateNamed] made under that name, read-write unless told otherwise. The caller owns
// the Segment and ends it with Detach.
//
// It follows no symbolic link, waits for no FIFO, and reads the header, checked field by field, before it maps
// anything. It returns an error that Is
//   - [os.ErrNotExist] if nothing has that name,
//   - [os.ErrPermission] if this process may not open the file,
//   - [os.ErrInvalid] if the name or MaxBytes cannot be,
//   - [ErrNotSegment], [ErrTruncated], [ErrVersion], [ErrByteOrder], [ErrChecksum] or [ErrGeometry], with a
//     *[HeaderError], if the file is no segment, damaged, shorter or longer than its header says, beyond MaxBytes, or has
//     other regions than agreed,
//   - [ErrStale] if it was made before the machine last started, or if its name was given to others all the time,
//   - [errors.ErrUnsupported] if the system has no such files or locks,
//
// an *[AttachError] if it is not a regular file on a tmpfs that belongs to this user or one of Owners, and an
// *os.SyscallError that names the call if another one failed. Nothing is left behind then.
func OpenNamed(name string, o OpenOptions) (*Segment, error) {
	s, err := openNamed(name, o)
	if err != nil {
		return nil, fmt.Errorf("open named segment: %w", err)
	}
	return s, nil
}

func openNamed(name string, o OpenOptions) (s *Segment, err error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	p, err := openPlace(o.Sys, o.Dir, name)
	if err != nil {
		return nil, err
	}
	defer p.close()
	err = persist(func() error {
		s, err = p.open(o)
		return err
	})
	return s, err
}

func (p *place) open(o OpenOptions) (*Segment, error) {
	fd, st, err := p.openFile(o.ReadOnly)
	if err != nil {
		return nil, err
	}
	s := p.newNamed(fd, idOf(st), !o.ReadOnly)
	if err := s.attachNamed(p, fd, st.UID, o); err != nil {
		return nil, errors.Join(err, s.Detach()) // keeps S5
	}
	return s, nil
}

// openFile opens what has the place's name if it is a regular file, and neither waits nor changes anything.
func (p *place) openFile(readOnly bool) (fd int, st sys.Stat, err error) {
	fd, err = p.sys.OpenAt(p.dir, p.file, readOnly)
	for _, errno := range []error{sys.ELOOP, sys.EISDIR, sys.ENXIO} { // symbolic link, directory, socket or device
		if errors.Is(err, errno) {
			err = &AttachError{Check: CheckFileType, Want: "a regular file", Err: err}
		}
	}
	if err != nil {
		return -1, st, err
	}
	if st, err = regular(p.sys, fd); err != nil {
		_ = sys.Close(fd) // keeps S5
		return -1, st, err
	}
	return fd, st, nil
}

// attachNamed checks and maps the file fd, which belongs to user uid.
func (s *Segment) attachNamed(p *place, fd int, uid uint32, o OpenOptions) error {
	if err := checkOwner(uid, o.Owners); err != nil {
		return err
	}
	if err := checkFileSystem(s.sys, fd); err != nil {
		return err
	}
	if err := s.shareLife(fd); err != nil {
		return err
	}
	// From here on nobody takes the segment for unused. If it still has its name, that was so all the time.
	st, err := p.stillNamed(s.id)
	if errors.Is(err, ErrStale) {
		return lostRace(err)
	}
	if err != nil {
		return err
	}
	if err := s.describe(fd, st.Size, o); err != nil {
		return err
	}
	s.bytes, err = mapFile(s.file, s.size, s.writable)
	return err
}

// checkOwner refuses files of users that nobody said to trust.
func checkOwner(uid uint32, owners []int) error {
	me := os.Geteuid()
	if int64(uid) == int64(me) && (me == 0 || me != sys.OverflowUID()) {
		return nil
	}
	if slices.ContainsFunc(owners, func(o int) bool { return int64(o) == int64(uid) }) {
		return nil
	}
	return &AttachError{Check: CheckOwner, Got: fmt.Sprintf("uid %d", uid), Want: fmt.Sprintf("uid %d", me)}
}

// describe takes the layout from the header of the file fd of size bytes, if it is as agreed.
func (s *Segment) describe(fd int, size int64, o OpenOptions) error {
	b, err := readHeader(s.sys, fd)
	if err != nil {
		return err
	}
	h, err := DecodeHeader(b)
	if err != nil {
		return err
	}
	if h.Size > uint64(o.MaxBytes) {
		return geometry("size", offSize, h.Size, fmt.Sprintf("at most %d", o.MaxBytes))
	}
	s.size = int(h.Size)
	for _, r := range h.Regions {
		s.offsets, s.sizes = append(s.offsets, int(r.Offset)), append(s.sizes, int(r.Size))
	}
	if o.Regions != nil {
		if err := s.layOut(o.Regions); err != nil {
			return err
		}
	}
	if err := s.checkOwn(h); err != nil {
		return err
	}
	if size < int64(s.size) {
		return &HeaderError{"size", offSize, fmt.Sprint(h.Size), fmt.Sprintf("the file's %d", size), ErrTruncated}
	}
	if size > int64(s.size) {
		return geometry("size", offSize, h.Size, fmt.Sprintf("the file's %d", size))
	}
	return nil
}

// readHeader returns the bytes of the header of the file fd, fewer if the file is shorter. It reads the file, not a
// mapping: a mapping would fault if somebody truncated the file meanwhile.
//
// sync(header-ready) takes over: the file got its final name after the magic number was stored, and a name found is
// found after that. Pairs with writeHeader.
func readHeader(t *sys.Table, fd int) ([]byte, error) {
	b := make([]byte, HeaderBytes)
	n := 0
	for n < len(b) {
		m, err := t.ReadAt(fd, b[n:], int64(n))
		if err != nil {
			return nil, err
		}
		if m == 0 {
			break
		}
		n += m
	}
	return b[:n], nil
}
