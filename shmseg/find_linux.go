package shmseg

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/shmwire/shmwire/internal/sys"
)

const (
	memfdPath   = "/memfd:" + namePrefix // how /proc shows a memfd's name
	deletedMark = " (deleted)"
)

// finder collects sightings, process by process.
type finder struct {
	memfds  uint64 // the device that all memfds lie on; whatever else calls itself one is not
	seen    map[fileID]*Sighting
	refused int
}

func find(ctx context.Context) (Found, error) {
	device, err := memfdDevice()
	if err != nil {
		return Found{}, err
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return Found{}, err
	}
	f := &finder{memfds: device, seen: map[fileID]*Sighting{}}
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return Found{}, err
		}
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			f.lookInto(pid)
		}
	}
	return f.found(), nil
}

// memfdDevice makes a memfd to see where the kernel puts them.
func memfdDevice() (uint64, error) {
	var t *sys.Table
	fd, err := t.CreateMemfd("probe")
	if err != nil {
		return 0, err
	}
	defer sys.Close(fd)
	st, err := t.Stat(fd)
	return st.Dev, err
}

// lookInto adds what process pid has. Whatever cannot be read because the process is gone or not ours is skipped, and
// a process that is not ours counted; threads of the kernel have nothing.
func (f *finder) lookInto(pid int) {
	err := errors.Join(f.descriptors(pid), f.mappings(pid))
	if !errors.Is(err, fs.ErrPermission) {
		return
	}
	if p, err := sys.ReadProcess(pid); err == nil && !p.Kernel && !p.Ended {
		f.refused++
	}
}

func (f *finder) descriptors(pid int) error {
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	names, err := d.Readdirnames(-1)
	_ = d.Close()
	for _, name := range names {
		way := dir + "/" + name
		if link, err := os.Readlink(way); err == nil && strings.HasPrefix(link, memfdPath) {
			f.descriptor(pid, way, link)
		}
	}
	return err
}

// descriptor adds the memfd that way leads to, if it is one: a link's text can be had by other means.
func (f *finder) descriptor(pid int, way, link string) {
	fd, err := sys.Pin(way)
	if err != nil {
		return
	}
	defer sys.Close(fd)
	st, err := sys.StatPinned(fd)
	if err != nil || st.Dev != f.memfds || !st.IsRegular() {
		return
	}
	s := f.sighting(idOf(st), Memfd, memfdName(link))
	s.ways = slices.Insert(s.ways, 0, way) // better than a mapping, which takes privileges
	holder(s, pid).Open = true
}

func (f *finder) mappings(pid int) error {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	for line := range strings.Lines(string(text)) {
		if !strings.Contains(line, "shmwire") {
			continue
		}
		if m, ok := parseMapping(strings.TrimSuffix(line, "\n")); ok {
			f.mapping(pid, m)
		}
	}
	return err
}

func (f *finder) mapping(pid int, m mapping) {
	var s *Sighting
	switch {
	case strings.HasPrefix(m.path, memfdPath) && m.id.dev == f.memfds:
		s = f.sighting(m.id, Memfd, memfdName(m.path))
		s.ways = append(s.ways, fmt.Sprintf("/proc/%d/map_files/%x-%x", pid, m.start, m.end))
	case strings.HasPrefix(path.Base(m.path), filePrefix):
		s = f.sighting(m.id, Named, m.path)
	default:
		return
	}
	h := holder(s, pid)
	h.Mapped = true
	h.Writable = h.Writable || m.writable
}

func (f *finder) sighting(id fileID, kind Kind, name string) *Sighting {
	s := f.seen[id]
	if s == nil {
		s = &Sighting{Kind: kind, Name: name, Dev: id.dev, Ino: id.ino}
		f.seen[id] = s
	}
	return s
}

// holder returns the entry for pid, which is the last one if there is one already: processes are looked into one by one.
func holder(s *Sighting, pid int) *Holder {
	if n := len(s.Holders); n == 0 || s.Holders[n-1].PID != pid {
		s.Holders = append(s.Holders, Holder{PID: pid})
	}
	return &s.Holders[len(s.Holders)-1]
}

func (f *finder) found() Found {
	found := Found{Refused: f.refused}
	for _, s := range f.seen {
		slices.SortFunc(s.Holders, func(a, b Holder) int { return cmp.Compare(a.PID, b.PID) })
		found.Sightings = append(found.Sightings, *s)
	}
	slices.SortFunc(found.Sightings, func(a, b Sighting) int {
		return cmp.Or(cmp.Compare(a.Dev, b.Dev), cmp.Compare(a.Ino, b.Ino))
	})
	return found
}

func memfdName(link string) string {
	return strings.TrimSuffix(strings.TrimPrefix(link, memfdPath), deletedMark)
}

// mapping is a line of /proc/PID/maps.
type mapping struct {
	start, end uint64
	writable   bool
	id         fileID
	path       string
}

// parseMapping takes a line of /proc/PID/maps apart: "START-END PERMS OFFSET MAJOR:MINOR INODE   PATH", numbers in
// hexadecimal but for the inode's. A path may have blanks in it.
func parseMapping(line string) (m mapping, ok bool) {
	var fields [5]string
	for i := range fields {
		fields[i], line, ok = strings.Cut(line, " ")
		if !ok {
			return mapping{}, false
		}
	}
	m.path = strings.TrimLeft(line, " ")
	start, end, ok1 := strings.Cut(fields[0], "-")
	major, minor, ok2 := strings.Cut(fields[3], ":")
	var errs [5]error
	var dev [2]uint64
	m.start, errs[0] = strconv.ParseUint(start, 16, 64)
	m.end, errs[1] = strconv.ParseUint(end, 16, 64)
	dev[0], errs[2] = strconv.ParseUint(major, 16, 32)
	dev[1], errs[3] = strconv.ParseUint(minor, 16, 32)
	m.id.ino, errs[4] = strconv.ParseUint(fields[4], 10, 64)
	if !ok1 || !ok2 || errors.Join(errs[:]...) != nil || len(fields[1]) != 4 {
		return mapping{}, false
	}
	m.id.dev = sys.Device(uint32(dev[0]), uint32(dev[1]))
	m.writable = fields[1][1] == 'w' && fields[1][3] == 's'
	return m, true
}
