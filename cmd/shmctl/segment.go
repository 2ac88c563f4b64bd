package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/shmwire/shmwire/shmseg"
)

// filePrefix starts the file name of every named segment.
const filePrefix = "shmwire."

// segment is one block of shared memory and what its header says.
type segment struct {
	kind     shmseg.Kind
	name     string // of a named one, as its users know it; of a memfd, for people only
	peek     func() (*shmseg.Peek, error)
	holders  []shmseg.Holder
	dev, ino uint64 // which file it is; 0 until read
	size     int64
	sealed   bool
	preamble *shmseg.Preamble // nil: not a segment
	header   *shmseg.Header   // nil: none that we understand
	err      error            // why there is no header
	creator  process          // by the header's account
	owner    process          // of a memfd: who can write it
	ownBoot  bool             // made since the machine started
}

// read fills in what the file itself says.
func (s *segment) read(h host) {
	p, err := s.peek()
	if err != nil {
		s.err = err
		return
	}
	defer p.Close()
	s.dev, s.ino = p.File()
	s.size, s.sealed = p.Size(), p.Sealed()
	if preamble, err := p.Preamble(); err == nil {
		s.preamble = &preamble
	}
	header, err := p.Header()
	if err != nil {
		s.err = err
		return
	}
	s.header = &header
	s.creator = h.creator(s.header)
	s.ownBoot = header.BootID == h.self.BootID
}

// foreign reports whether another version or another kind of machine made the segment.
func (s *segment) foreign() bool {
	return s.preamble != nil && s.header == nil &&
		(s.preamble.Version != 1 || errors.Is(s.err, shmseg.ErrVersion) || errors.Is(s.err, shmseg.ErrByteOrder))
}

// refused reports whether we were not let in.
func (s *segment) refused() bool { return errors.Is(s.err, fs.ErrPermission) }

// gone reports whether the segment was gone before we came.
func (s *segment) gone() bool { return errors.Is(s.err, fs.ErrNotExist) }

// findOwner says whose memfd it is. A sealed one has one writable mapping, its creator's, and /proc shows whose that is
// whatever the header says; where nobody has one, the header says who had.
func (s *segment) findOwner(everybodySeen bool) {
	s.owner = s.creator
	for _, h := range s.holders {
		if !h.Writable {
			continue
		}
		if s.owner = holding(h.PID); s.owner.pid == s.creator.pid {
			return
		}
	}
	if s.owner == s.creator && s.creator.life == unknown && everybodySeen {
		s.owner.life = dead // in another PID namespace: nobody that could write is left
	}
}

// attached returns the processes that have the segment mapped.
func (s *segment) attached() (pids []int) {
	for _, h := range s.holders {
		if h.Mapped {
			pids = append(pids, h.PID)
		}
	}
	return pids
}

// memfds reads the memfds that Find saw, in the order in which they were made.
func memfds(ctx context.Context, h host, found shmseg.Found) ([]*segment, error) {
	var all []*segment
	for _, sighting := range found.Sightings {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if sighting.Kind != shmseg.Memfd {
			continue
		}
		s := &segment{kind: shmseg.Memfd, name: sighting.Name, peek: sighting.Peek, holders: sighting.Holders}
		s.read(h)
		if s.header != nil {
			s.findOwner(found.Refused == 0)
		}
		all = append(all, s)
	}
	slices.SortStableFunc(all, func(a, b *segment) int {
		if a.header == nil || b.header == nil {
			return cmp.Compare(btoi(a.header == nil), btoi(b.header == nil))
		}
		return cmp.Or(a.header.Created.Compare(b.header.Created), bytes.Compare(a.header.ID[:], b.header.ID[:]))
	})
	return all, nil
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// namedSegments reads the segments in the files of dir, ordered by name.
func namedSegments(ctx context.Context, h host, dir string, found shmseg.Found) ([]*segment, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list named segments: %w", err)
	}
	var all []*segment
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if name, ok := strings.CutPrefix(e.Name(), filePrefix); ok {
			all = append(all, namedSegment(h, name, filepath.Join(dir, e.Name()), found))
		}
	}
	return all, nil
}

func namedSegment(h host, name, path string, found shmseg.Found) *segment {
	s := &segment{kind: shmseg.Named, name: name, creator: process{life: unknown}, owner: process{life: unknown}}
	s.peek = func() (*shmseg.Peek, error) { return shmseg.PeekFile(path) }
	s.read(h)
	for _, sighting := range found.Sightings {
		if sighting.Dev == s.dev && sighting.Ino == s.ino {
			s.holders = sighting.Holders
		}
	}
	return s
}
