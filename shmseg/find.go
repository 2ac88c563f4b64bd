package shmseg

import (
	"context"
	"fmt"
	"io/fs"
)

// Found is what [Find] saw.
type Found struct {
	Sightings []Sighting // ordered by Dev and Ino
	// Refused is how many processes we were not allowed to look into. What only they have is not in Sightings.
	Refused int
}

// Sighting is a segment that live processes have open or mapped.
type Sighting struct {
	Kind     Kind     // Memfd, or Named for a file whose name is that of a named segment, whatever it holds
	Name     string   // of a memfd what follows "memfd:shmwire:", of a file its path as its holders see it
	Dev, Ino uint64   // which file it is, for the kernel
	Holders  []Holder // by PID, at least one

	ways []string // paths in /proc that lead to the file, the best first
}

// Holder is a process that has a segment.
type Holder struct {
	PID      int  // in our own PID namespace
	Open     bool // it has a descriptor of it
	Mapped   bool // it has it mapped
	Writable bool // and can write it; of a sealed memfd that proves that it is the creator, or forked from it
}

// Find looks through the live processes for segments: memfds that carry this module's name, and mapped files that do.
// It opens no segment and asks no file system, so no other user can keep it waiting. Processes that end meanwhile are
// left out.
//
// It returns ctx.Err() when ctx ends, [errors.ErrUnsupported] on systems other than Linux, and otherwise only errors
// that make looking impossible altogether.
func Find(ctx context.Context) (Found, error) {
	found, err := find(ctx)
	if err != nil {
		return Found{}, fmt.Errorf("find segments: %w", err)
	}
	return found, nil
}

// Peek opens the segment of a memfd sighting for looking at it. The error Is fs.ErrPermission if no way in is open to
// us: a memfd that its creator has left behind can only be reached through the mappings of others, for which Linux wants
// CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE. It Is fs.ErrNotExist if nobody has the segment any more.
func (s Sighting) Peek() (*Peek, error) {
	err := error(fs.ErrNotExist)
	for _, way := range s.ways {
		var p *Peek
		if p, err = peekThrough(way, s.Dev, s.Ino); err == nil {
			return p, nil
		}
	}
	return nil, fmt.Errorf("look at memfd %q: %w", s.Name, err)
}
