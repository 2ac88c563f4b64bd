package shmseg_test

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/shmwire/shmwire/internal/mem"
	"github.com/shmwire/shmwire/internal/shmtest"
	"github.com/shmwire/shmwire/internal/sys"
	"github.com/shmwire/shmwire/shmseg"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// sightings returns what Find sees of the given name.
func sightings(t testing.TB, name string) []shmseg.Sighting {
	t.Helper()
	found, err := shmseg.Find(context.Background())
	require.NoError(t, err)
	return slices.DeleteFunc(found.Sightings, func(s shmseg.Sighting) bool { return s.Name != name })
}

func mustPeek(t testing.TB, s shmseg.Sighting) *shmseg.Peek {
	t.Helper()
	p, err := s.Peek()
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, p.Close()) })
	return p
}

func TestFindAndPeek(t *testing.T) {
	leavesNothing(t, func() {
		const name = "find and peek"
		s, err := shmseg.CreateMemfd(shmseg.MemfdOptions{Name: name, Regions: []int{100, 300}, Link: [16]byte{1, 2}})
		require.NoError(t, err)
		copy(s.Region(1), "hello")

		seen := sightings(t, name)
		require.Len(t, seen, 1)
		assert.Equal(t, shmseg.Memfd, seen[0].Kind)
		assert.Equal(t, []shmseg.Holder{{PID: os.Getpid(), Open: true, Mapped: true, Writable: true}}, seen[0].Holders)

		p, err := seen[0].Peek()
		require.NoError(t, err)
		dev, ino := p.File()
		assert.Equal(t, [2]uint64{seen[0].Dev, seen[0].Ino}, [2]uint64{dev, ino})
		assert.True(t, p.Sealed())
		assert.EqualValues(t, s.Size(), p.Size())
		want, err := s.Header()
		require.NoError(t, err)
		got, err := p.Header()
		require.NoError(t, err)
		assert.Equal(t, want, got)
		preamble, err := p.Preamble()
		require.NoError(t, err)
		assert.Equal(t, shmseg.Preamble{Version: 1, HeaderBytes: shmseg.HeaderBytes}, preamble)

		assert.Panics(t, func() { p.Region(0) })
		require.NoError(t, p.Map())
		assert.Len(t, p.Region(0), 100)
		assert.Equal(t, s.Region(1), p.Region(1))
		assert.Nil(t, p.Region(2))
		assert.Nil(t, p.Region(-1))
		assert.Equal(t, []string{"r--s", "rw-s"}, protections(t, name))
		require.NoError(t, p.Close())
		require.NoError(t, p.Close())
		require.NoError(t, s.Detach())
		assert.Empty(t, sightings(t, name))
		_, err = seen[0].Peek()
		assert.ErrorIs(t, err, fs.ErrNotExist)
	})
}

// protections returns how this process has mapped what name stands for, ordered.
func protections(t testing.TB, name string) (p []string) {
	t.Helper()
	text, err := os.ReadFile("/proc/self/maps")
	require.NoError(t, err)
	for line := range strings.Lines(string(text)) {
		if strings.Contains(line, name) {
			p = append(p, strings.Fields(line)[1])
		}
	}
	slices.Sort(p)
	return p
}

// When its creator has left, a memfd lives on in the mappings of others and nowhere else.
func TestFindWhatOnlyAPeerHasMapped(t *testing.T) {
	const name = "left behind"
	s := mustCreate(t, shmseg.MemfdOptions{Name: name, Regions: []int{64}})
	copy(s.Region(0), "last words")
	attachAgain(t, s, 64)
	require.NoError(t, s.Detach())

	seen := sightings(t, name)
	require.Len(t, seen, 1)
	assert.Equal(t, []shmseg.Holder{{PID: os.Getpid(), Mapped: true}}, seen[0].Holders)
	p, err := seen[0].Peek()
	if os.Geteuid() != 0 {
		assert.ErrorIs(t, err, fs.ErrPermission)
		t.Skip("only root may open what a mapping shows")
	}
	if err != nil {
		assert.ErrorIs(t, err, fs.ErrPermission)
		t.Skip("this root may not open what a mapping shows: ", err)
	}
	defer p.Close()
	require.NoError(t, p.Map())
	assert.Equal(t, "last words", string(p.Region(0)[:10]))
}

// A descriptor that is open twice is one segment, and a number that was used again is not the old one.
func TestFindTellsFilesApart(t *testing.T) {
	const name = "twice"
	a := mustCreate(t, shmseg.MemfdOptions{Name: name, Regions: []int{64}})
	b := mustCreate(t, shmseg.MemfdOptions{Name: name, Regions: []int{64}})
	dup := mustDup(t, a.FD())
	defer sys.Close(dup)
	seen := sightings(t, name)
	require.Len(t, seen, 2)
	for _, s := range seen {
		assert.Len(t, s.Holders, 1)
	}
	headers := [2]shmseg.Header{}
	for i, s := range seen {
		h, err := mustPeek(t, s).Header()
		require.NoError(t, err)
		headers[i] = h
	}
	wantA, err := a.Header()
	require.NoError(t, err)
	wantB, err := b.Header()
	require.NoError(t, err)
	assert.ElementsMatch(t, []shmseg.Header{wantA, wantB}, headers[:])
}

// A descriptor's number that is used again does not lead to the new file.
func TestPeekFindsTheFileOrNone(t *testing.T) {
	const name = "used again"
	a := mustCreate(t, shmseg.MemfdOptions{Name: name, Regions: []int{64}})
	fd := a.FD()
	seen := sightings(t, name)
	require.Len(t, seen, 1)
	require.NoError(t, a.Detach())
	b := mustCreate(t, shmseg.MemfdOptions{Name: name, Regions: []int{64}})
	require.Equal(t, fd, b.FD(), "the kernel gives out the lowest number")
	_, err := seen[0].Peek()
	assert.ErrorIs(t, err, fs.ErrNotExist)
}

func TestFindBelievesNoNames(t *testing.T) {
	const name = "impostor"
	fd, err := unix.MemfdCreate("shmwire:"+name, unix.MFD_CLOEXEC|unix.MFD_HUGETLB)
	if err == nil {
		assert.Empty(t, sightings(t, name), "huge pages are no place for a segment")
		require.NoError(t, sys.Close(fd))
	}
	fd, err = unix.MemfdCreate("shmwire:"+name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	require.NoError(t, err)
	defer sys.Close(fd)
	_, err = unix.Write(fd, []byte("anything at all"))
	require.NoError(t, err)
	seen := sightings(t, name)
	require.Len(t, seen, 1)
	p := mustPeek(t, seen[0])
	assert.False(t, p.Sealed())
	_, err = p.Header()
	assert.ErrorIs(t, err, shmseg.ErrNotSegment)
	assert.ErrorIs(t, p.Map(), shmseg.ErrNotSegment)
}

func TestFindEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := shmseg.Find(ctx)
	assert.ErrorIs(t, err, context.Canceled)
}

func TestParseMapping(t *testing.T) {
	m, ok := shmseg.ParseMapping("7f0a00000000-7f0a00052000 rw-s 00000000 00:01 4711                       /memfd:shmwire:a  b (deleted)")
	require.True(t, ok)
	assert.Equal(t, "7f0a00000000-7f0a00052000 true 1:4711 \"/memfd:shmwire:a  b (deleted)\"", m)
	m, ok = shmseg.ParseMapping("00010000-00020000 rw-p 00000000 fe:10 9 /x")
	require.True(t, ok)
	assert.Equal(t, "10000-20000 false 65040:9 \"/x\"", m, "a private mapping writes nobody's memory")
	for _, line := range []string{
		"", "x", "1-2 r--s 0 0:1", "1-2 r--s 0 0:1 x /p", "12 r--s 0 0:1 1 /p", "1-2 r-- 0 0:1 1 /p",
		"1-2 r--s 0 01 1 /p", "1-2 r--s 0 0:123456789 1 /p", "g-2 r--s 0 0:1 1 /p", "1-g r--s 0 0:1 1 /p",
	} {
		_, ok := shmseg.ParseMapping(line)
		assert.False(t, ok, "%q", line)
	}
}

// segmentFile writes a whole named segment to a file, and returns its bytes and path.
func segmentFile(t testing.TB, regions ...int) (bytes []byte, path string) {
	t.Helper()
	offsets, size := shmseg.Layout(regions...)
	bytes = mem.AlignedBytes(size)
	h := sampleHeader()
	h.Kind, h.Size, h.Regions = shmseg.Named, uint64(size), nil
	for i, n := range regions {
		h.Regions = append(h.Regions, shmseg.Region{Offset: uint64(offsets[i]), Size: uint64(n)})
	}
	shmseg.WriteHeader(bytes, h)
	path = filepath.Join(t.TempDir(), "shmwire.test")
	require.NoError(t, os.WriteFile(path, bytes, 0o600))
	return bytes, path
}

func TestPeekFile(t *testing.T) {
	bytes, path := segmentFile(t, 128, 5000)
	p, err := shmseg.PeekFile(path)
	require.NoError(t, err)
	defer p.Close()
	h, err := p.Header()
	require.NoError(t, err)
	assert.Equal(t, shmseg.Named, h.Kind)
	require.NoError(t, p.Map())
	require.NoError(t, shmseg.Guard(func() {
		assert.Equal(t, bytes[h.Regions[1].Offset:][:5000], p.Region(1))
	}, p))
	assert.Equal(t, []string{"r--s"}, protections(t, path))
	dev, ino := p.File()
	for _, s := range sightings(t, path) {
		assert.Equal(t, shmseg.Named, s.Kind)
		assert.Equal(t, [2]uint64{dev, ino}, [2]uint64{s.Dev, s.Ino})
	}
	assert.Len(t, sightings(t, path), 1, "who maps the file is a holder")
}

func TestPeekFileRefuses(t *testing.T) {
	leavesNothing(t, func() {
		bytes, path := segmentFile(t, 128)
		dir := filepath.Dir(path)
		fifo, link := filepath.Join(dir, "fifo"), filepath.Join(dir, "link")
		require.NoError(t, unix.Mkfifo(fifo, 0o600))
		require.NoError(t, os.Symlink(path, link))
		for path, want := range map[string]error{
			dir: shmseg.ErrNotSegment, fifo: shmseg.ErrNotSegment, link: unix.ELOOP, dir + "/none": fs.ErrNotExist,
		} {
			_, err := shmseg.PeekFile(path)
			assert.ErrorIs(t, err, want, path)
			assert.ErrorContains(t, err, path)
		}
		for name, tt := range map[string]struct {
			text []byte
			want error
		}{
			"empty":       {nil, shmseg.ErrTruncated},
			"seven bytes": {bytes[:7], shmseg.ErrTruncated},
			"preamble":    {bytes[:15], shmseg.ErrTruncated},
			"header":      {bytes[:shmseg.HeaderBytes], shmseg.ErrTruncated},
			"grown":       {append(slices.Clone(bytes), 0), shmseg.ErrGeometry},
			"text":        {[]byte("hello, world"), shmseg.ErrNotSegment},
		} {
			require.NoError(t, os.WriteFile(path, tt.text, 0o600))
			p, err := shmseg.PeekFile(path)
			require.NoError(t, err, name)
			_, err = p.Header()
			assert.ErrorIs(t, err, tt.want, name)
			assert.ErrorIs(t, p.Map(), tt.want, name)
			assert.NoError(t, p.Close())
		}
	})
}

// Of a header of another version, the first 16 bytes say the same, however long the rest is.
func TestPreambleOfAnotherVersion(t *testing.T) {
	bytes, path := segmentFile(t, 128)
	bytes[8], bytes[13] = 7, 0x20
	for _, n := range []int{16, 100, len(bytes)} {
		require.NoError(t, os.WriteFile(path, bytes[:n], 0o600))
		p, err := shmseg.PeekFile(path)
		require.NoError(t, err)
		preamble, err := p.Preamble()
		require.NoError(t, err)
		assert.Equal(t, shmseg.Preamble{Version: 7, HeaderBytes: 0x2000}, preamble)
		_, err = p.Header()
		assert.Error(t, err)
		require.NoError(t, p.Close())
	}
	for n, want := range map[int]error{0: shmseg.ErrTruncated, 15: shmseg.ErrTruncated} {
		_, err := shmseg.DecodePreamble(bytes[:n])
		assert.ErrorIs(t, err, want, "%d bytes", n)
	}
	_, err := shmseg.DecodePreamble([]byte("something else entirely"))
	assert.ErrorIs(t, err, shmseg.ErrNotSegment)
}

func TestGuard(t *testing.T) {
	shmtest.NeedsFaultAddresses(t)
	_, path := segmentFile(t, 64<<10)
	p, err := shmseg.PeekFile(path)
	require.NoError(t, err)
	defer p.Close()
	require.NoError(t, p.Map())
	var sum int
	look := func() {
		for _, b := range p.Region(0) {
			sum += int(b)
		}
	}
	require.NoError(t, shmseg.Guard(look, p, nil))
	require.NoError(t, os.Truncate(path, 4096))
	assert.ErrorIs(t, shmseg.Guard(look, nil, p), shmseg.ErrTruncated)
	assert.Panics(t, func() { _ = shmseg.Guard(look) }, "memory that Guard knows nothing of")
	assert.PanicsWithValue(t, "other", func() { _ = shmseg.Guard(func() { panic("other") }, p) })
	var nothing *int
	assert.Panics(t, func() { _ = shmseg.Guard(func() { *nothing = 1 }, p) }, "a fault elsewhere goes on")
}

// FuzzPeekFile: whatever is in the file, a look ends with an error or with regions that can be read.
func FuzzPeekFile(f *testing.F) {
	whole, _ := segmentFile(f, 128, 300)
	for _, seed := range [][]byte{nil, []byte("shmwire\x00"), whole[:shmseg.HeaderBytes], whole} {
		f.Add(seed)
	}
	path := filepath.Join(f.TempDir(), "shmwire.fuzz")
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		p, err := shmseg.PeekFile(path)
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		_, _ = p.Preamble()
		if p.Map() != nil {
			return
		}
		if err := shmseg.Guard(func() {
			for i := range shmseg.MaxRegions {
				_ = string(p.Region(i))
			}
		}, p); err != nil {
			t.Fatal(err)
		}
	})
}
