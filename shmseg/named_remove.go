package shmseg

import (
	"errors"
	"fmt"
	"os"

	"github.com/shmwire/shmwire/internal/sys"
)

// RemoveOptions say which named segment to remove.
type RemoveOptions struct {
	// Dir is the directory that it lies in, on a tmpfs. The default is /dev/shm.
	Dir string
	// Sys replaces system calls in tests; nil means the real ones.
	Sys *sys.Table
}

// RemoveNamed takes the name away from the segment called name. Processes that have it mapped go on with it, and the
// kernel frees it when none has any more; see [Segment.Stale]. The name can be given to a new segment at once.
//
// What the file holds does not matter, so that damaged segments can be removed, but it must be a regular file that this
// process may write. It returns an error that Is [os.ErrNotExist] if nothing has that name, [os.ErrPermission] if this
// process may not remove it, [os.ErrInvalid] if the name cannot be, or [errors.ErrUnsupported]; an *[AttachError] if
// something that is no regular file has the name; and an *os.SyscallError that names the call if another one failed.
func RemoveNamed(name string, o RemoveOptions) error {
	if err := removeNamed(name, o.Dir, nil, o.Sys); err != nil {
		return fmt.Errorf("remove named segment: %w", err)
	}
	return nil
}

// Remove takes the name away from a named segment as [RemoveNamed] does, if it still has it; a successor of the same
// name is left alone. This process too goes on with the segment until Detach. A memfd has no name: Remove does nothing.
//
// It returns an error that Is [ErrStale] if the segment has lost its name already, [os.ErrClosed] if it is detached,
// and otherwise as RemoveNamed.
func (s *Segment) Remove() error {
	if err := s.remove(); err != nil {
		return fmt.Errorf("remove %v segment: %w", s.kind, err)
	}
	return nil
}

func (s *Segment) remove() error {
	if err := s.stale(); err != nil || s.kind != Named {
		return err
	}
	err := removeNamed(s.name, s.dir(), &s.id, s.sys)
	if errors.Is(err, sys.ENOENT) {
		return fmt.Errorf("%w: %w", ErrStale, err)
	}
	return err
}

// Stale returns an error that Is [ErrStale] if a named segment has lost its name: it was removed, and perhaps another
// made in its place. Its memory is as good as before, but nobody can open it any more. A memfd is never stale.
//
// Other errors say that the question has no answer now: [os.ErrClosed] if the segment is detached, else an
// *os.SyscallError.
func (s *Segment) Stale() error {
	if err := s.stale(); err != nil {
		return fmt.Errorf("look up %v segment: %w", s.kind, err)
	}
	return nil
}

func (s *Segment) stale() error {
	if err := s.attached(); err != nil || s.kind != Named {
		return err
	}
	st, err := s.sys.StatAt(sys.AtCwd, s.path)
	return staleIf(s.id, st, err)
}

// attached returns an error that Is [os.ErrClosed] if the segment is detached. Its inode number may be another file's
// by then.
func (s *Segment) attached() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bytes == nil {
		return fmt.Errorf("it is detached: %w", os.ErrClosed)
	}
	return nil
}

func removeNamed(name, dir string, id *fileID, t *sys.Table) error {
	p, err := openPlace(t, dir, name)
	if err != nil {
		return err
	}
	defer p.close()
	return p.remove(id)
}

// remove takes the place's name away from the file that has it, or from the file id alone if there is one.
func (p *place) remove(id *fileID) error {
	return persist(func() error { return p.tryRemove(id) })
}

func (p *place) tryRemove(id *fileID) error {
	fd, st, err := p.openFile(false)
	if err != nil {
		return err
	}
	defer func() { _ = sys.Close(fd) }() // gives the lock back; nothing was written
	if id != nil {
		if err := staleIf(*id, st, nil); err != nil {
			return err
		}
	}
	err = p.sys.LockByte(fd, true, nameByte)
	if errors.Is(err, sys.EAGAIN) {
		return lostRace(err) // somebody else is removing it
	}
	if err != nil {
		return err
	}
	// From here on only we may take the name from this file (N3), and if it has it, it keeps it until we do.
	if _, err := p.stillNamed(idOf(st)); err != nil {
		if id == nil && errors.Is(err, ErrStale) {
			return lostRace(err)
		}
		return err
	}
	return p.sys.UnlinkAt(p.dir, p.file)
}
