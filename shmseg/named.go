package shmseg

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/shmwire/shmwire/internal/sys"
)

const (
	// defaultDir is where segments lie unless said otherwise: the tmpfs that every Linux mounts for this.
	defaultDir = "/dev/shm"

	// filePrefix starts the name of every named segment's file.
	filePrefix = "shmwire."
	// tempPrefix starts the name that a segment's file has while it is made. It can be nobody's final name.
	tempPrefix = "." + filePrefix
	// tempRandomBytes are in a temporary name, behind a dot and as hexadecimal digits, so that nobody can take it first.
	tempRandomBytes = 8
	// maxSegmentNameBytes is what the kernel's 255 leave beside a temporary name's prefix and suffix.
	maxSegmentNameBytes = 255 - len(tempPrefix) - len(".") - 2*tempRandomBytes
)

// The bytes of a named segment's file on which open-file-description locks are held (N2, N3). Such a lock is a note
// that the kernel keeps beside the file: it neither reads nor changes the byte. Those between the two are kept for
// locks of the participants.
const (
	// lifeByte: a shared lock is held through every description that a segment is mapped from, from before its file has
	// a final name. Who gets an exclusive one knows that nobody has the segment mapped.
	lifeByte = 0
	// nameByte: an exclusive lock is held by who takes the name away from the file, from before it compares the two. A
	// name is never given to another file while it has one, so nobody removes the name of a successor.
	nameByte = HeaderBytes - 1
)

const (
	// patience is how long a call goes on that keeps losing races against others.
	patience = time.Second
	// pause is how long it waits in between.
	pause = time.Millisecond
)

// errLostRace marks errors that are due to what somebody else did at the same moment: starting over helps.
var errLostRace = errors.New("overtaken by another process")

func lostRace(err error) error { return fmt.Errorf("%w: %w", errLostRace, err) }

// persist calls try until it ends otherwise than by losing a race, or for as long as there is patience.
func persist(try func() error) error {
	for end := time.Now().Add(patience); ; time.Sleep(pause) {
		err := try()
		if !errors.Is(err, errLostRace) {
			return err
		}
		if time.Now().After(end) {
			return fmt.Errorf("tried for %v: %w", patience, err)
		}
	}
}

// checkName makes sure that name can be part of a file name, and be shown to people on one line.
func checkName(name string) error {
	bad := func(r rune) bool { return r == '/' || r == utf8.RuneError || unicode.IsControl(r) }
	if name == "" || len(name) > maxSegmentNameBytes || name[0] == '.' || strings.ContainsFunc(name, bad) {
		return fmt.Errorf("name %q of %d bytes, want 1 to %d of UTF-8, no slash, no control character, no dot at the start: %w",
			name, len(name), maxSegmentNameBytes, os.ErrInvalid)
	}
	return nil
}

// place is where the file of a named segment lies or will lie.
type place struct {
	sys  *sys.Table
	dir  int // descriptor of the directory, open until close
	name string
	file string // the file's name in the directory
	path string // absolute
}

// openPlace opens dir, the default one if it is empty, which must be one of memory files.
func openPlace(t *sys.Table, dir, name string) (*place, error) {
	if !sharedWords {
		return nil, fmt.Errorf("64-bit atomics on %s are local to a process: %w", runtime.GOARCH, errors.ErrUnsupported)
	}
	if err := checkName(name); err != nil {
		return nil, err
	}
	if dir == "" {
		dir = defaultDir
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	fd, err := t.OpenDir(dir)
	if err != nil {
		return nil, fmt.Errorf("directory %s: %w", dir, err)
	}
	p := &place{sys: t, dir: fd, name: name, file: filePrefix + name, path: filepath.Join(dir, filePrefix+name)}
	if err := checkFileSystem(t, fd); err != nil {
		p.close()
		return nil, fmt.Errorf("directory %s: %w", dir, err)
	}
	return p, nil
}

// close does not look at what close says: nothing was written through a descriptor that is for names only.
func (p *place) close() { _ = sys.Close(p.dir) }

// fileID names a file for as long as it exists, whatever names it has.
type fileID struct{ dev, ino uint64 }

func idOf(st sys.Stat) fileID { return fileID{st.Dev, st.Ino} }

// stillNamed returns what the file is like that has the place's name now, or an error that Is [ErrStale] if that is
// not the file id.
func (p *place) stillNamed(id fileID) (sys.Stat, error) {
	st, err := p.sys.StatAt(p.dir, p.file)
	return st, staleIf(id, st, err)
}

// staleIf judges what fstatat said of the name of file id.
func staleIf(id fileID, st sys.Stat, err error) error {
	if errors.Is(err, sys.ENOENT) {
		return fmt.Errorf("%w: it has no name any more", ErrStale)
	}
	if err != nil {
		return err
	}
	if now := idOf(st); now != id {
		return fmt.Errorf("%w: its name is that of inode %d, want %d", ErrStale, now.ino, id.ino)
	}
	return nil
}

// newNamed returns the segment whose file fd is, not yet laid out and not yet mapped. It owns fd.
func (p *place) newNamed(fd int, id fileID, writable bool) *Segment {
	return &Segment{
		kind: Named, writable: writable, name: p.name, path: p.path, id: id, sys: p.sys,
		file: os.NewFile(uintptr(fd), p.path),
	}
}

// shareLife takes the segment's part of the lock that says that it is in use (N2).
func (s *Segment) shareLife(fd int) error {
	err := s.sys.LockByte(fd, false, lifeByte)
	if errors.Is(err, sys.EAGAIN) {
		return lostRace(err) // somebody is about to remove a file that nobody had in use
	}
	if errors.Is(err, sys.EINVAL) || errors.Is(err, sys.ENOSYS) {
		return refused(err)
	}
	return err
}
