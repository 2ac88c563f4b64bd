package shmseg_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/shmwire/shmwire/internal/shmtest"
	"github.com/shmwire/shmwire/internal/sys"
	"github.com/shmwire/shmwire/shmseg"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// entries returns the names in dir, those that begin with a dot too.
func entries(t testing.TB, dir string) []string {
	t.Helper()
	list, err := os.ReadDir(dir)
	require.NoError(t, err)
	var names []string
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}

func mappingsOf(t testing.TB, dir string) int {
	t.Helper()
	text, err := os.ReadFile("/proc/self/maps")
	require.NoError(t, err)
	return strings.Count(string(text), dir+"/")
}

// leavesDir checks that the call leaves directory, descriptors and mappings as they are.
func leavesDir(t testing.TB, dir string, call func()) {
	t.Helper()
	names, fds, maps := entries(t, dir), shmtest.FDs(t), mappingsOf(t, dir)
	call()
	assert.Equal(t, names, entries(t, dir))
	assert.Equal(t, fds, shmtest.FDs(t))
	assert.Equal(t, maps, mappingsOf(t, dir))
}

// mustNamed makes a segment that is removed and detached at the end of the test.
func mustNamed(t testing.TB, name string, o shmseg.NamedOptions) *shmseg.Segment {
	t.Helper()
	s, err := shmseg.CreateNamed(name, o)
	require.NoError(t, err)
	t.Cleanup(func() {
		if err := s.Remove(); !errors.Is(err, os.ErrClosed) && !errors.Is(err, shmseg.ErrStale) {
			assert.NoError(t, err)
		}
		assert.NoError(t, s.Detach())
	})
	return s
}

func mustOpenNamed(t testing.TB, name string, o shmseg.OpenOptions) *shmseg.Segment {
	t.Helper()
	s, err := shmseg.OpenNamed(name, o)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, s.Detach()) })
	return s
}

func TestCreateAndOpenNamed(t *testing.T) {
	dir := shmtest.ShmDir(t)
	leavesDir(t, dir, func() {
		s, err := shmseg.CreateNamed("orders.v2", shmseg.NamedOptions{Dir: dir, Regions: []int{100, 4096, 1}})
		require.NoError(t, err)
		assert.Equal(t, []string{"shmwire.orders.v2"}, entries(t, dir))
		agreed, err := shmseg.OpenNamed("orders.v2", shmseg.OpenOptions{Dir: dir, Regions: []int{100, 4096, 1}})
		require.NoError(t, err)
		found, err := shmseg.OpenNamed("orders.v2", shmseg.OpenOptions{Dir: dir})
		require.NoError(t, err)
		reader, err := shmseg.OpenNamed("orders.v2", shmseg.OpenOptions{Dir: dir, ReadOnly: true})
		require.NoError(t, err)

		_, total := shmseg.Layout(100, 4096, 1)
		for i, each := range []*shmseg.Segment{s, agreed, found, reader} {
			assert.Equal(t, "orders.v2", each.Name())
			assert.Equal(t, shmseg.Named, each.Kind())
			assert.Equal(t, each != reader, each.Writable())
			assert.Equal(t, total, each.Size())
			assert.NotEqual(t, -1, each.FD())
			assert.NoError(t, each.Stale())
			for region, size := range []int{100, 4096, 1} {
				b := each.Region(region)
				assert.Equal(t, [2]int{size, size}, [2]int{len(b), cap(b)})
				if i == 0 {
					assert.Equal(t, make([]byte, size), b, "a new region is zero")
				}
				if each.Writable() {
					b[size-1]++
				}
			}
		}
		assert.Equal(t, byte(3), reader.Region(2)[0], "all three writers are seen")
		assert.Equal(t, s.Bytes(), reader.Bytes())
		require.NoError(t, s.Remove())
		for _, each := range []*shmseg.Segment{s, agreed, found, reader} {
			require.NoError(t, each.Detach())
		}
	})
}

func TestHeaderOfNamedSegment(t *testing.T) {
	dir := shmtest.ShmDir(t)
	before := time.Now().Round(0).UTC()
	s := mustNamed(t, "h", shmseg.NamedOptions{Dir: dir, Regions: []int{100, 200}})
	h, err := mustOpenNamed(t, "h", shmseg.OpenOptions{Dir: dir}).Header()
	require.NoError(t, err)
	self := sys.Self()
	assert.False(t, h.Created.Before(before) || h.Created.After(time.Now()), "created %v", h.Created)
	assert.NotZero(t, h.ID)
	assert.Equal(t, shmseg.Header{
		Version: 1, PageBytes: uint32(os.Getpagesize()), LineBytes: 128, Kind: shmseg.Named, Size: 8192,
		Regions: []shmseg.Region{{Offset: 4096, Size: 100}, {Offset: 4224, Size: 200}},
		ID:      h.ID, Generation: 1, Created: h.Created,
		CreatorPID: os.Getpid(), CreatorStart: self.Start, BootID: self.BootID, PIDNamespace: self.PIDNamespace,
	}, h)
	own, err := s.Header()
	require.NoError(t, err)
	assert.Equal(t, h, own)
}

func TestNamedSegmentStaysUntilItIsRemoved(t *testing.T) {
	dir := shmtest.ShmDir(t)
	s := mustNamed(t, "stays", shmseg.NamedOptions{Dir: dir, Regions: []int{64}})
	s.Region(0)[7] = 9
	require.NoError(t, s.Detach())
	again := mustOpenNamed(t, "stays", shmseg.OpenOptions{Dir: dir, Regions: []int{64}})
	assert.Equal(t, byte(9), again.Region(0)[7])
	_, err := shmseg.CreateNamed("stays", shmseg.NamedOptions{Dir: dir, Regions: []int{64}})
	assert.ErrorIs(t, err, os.ErrExist)
	require.NoError(t, shmseg.RemoveNamed("stays", shmseg.RemoveOptions{Dir: dir}))
	_, err = shmseg.OpenNamed("stays", shmseg.OpenOptions{Dir: dir})
	assert.ErrorIs(t, err, os.ErrNotExist)
	assert.ErrorIs(t, shmseg.RemoveNamed("stays", shmseg.RemoveOptions{Dir: dir}), os.ErrNotExist)
}

// Losing the name changes nothing for those who have the segment mapped, but they can ask.
func TestRemovedAndReplaced(t *testing.T) {
	dir := shmtest.ShmDir(t)
	o := shmseg.NamedOptions{Dir: dir, Regions: []int{64}}
	first := mustNamed(t, "name", o)
	user := mustOpenNamed(t, "name", shmseg.OpenOptions{Dir: dir, ReadOnly: true})
	require.NoError(t, first.Remove())

	for range 2 { // without a name, then with a successor
		for _, s := range []*shmseg.Segment{first, user} {
			assert.ErrorIs(t, s.Stale(), shmseg.ErrStale)
			assert.ErrorIs(t, s.Remove(), shmseg.ErrStale)
		}
		first.Region(0)[0]++
		assert.Equal(t, first.Region(0), user.Region(0), "traffic goes on")
		if _, err := os.Lstat(filepath.Join(dir, "shmwire.name")); err != nil {
			mustNamed(t, "name", o)
		}
	}
	second := mustOpenNamed(t, "name", shmseg.OpenOptions{Dir: dir, ReadOnly: true})
	assert.NoError(t, second.Stale(), "the predecessors removed nothing")
	assert.Zero(t, second.Region(0)[0])
	assert.NoError(t, second.Remove(), "also who only reads may remove, if the directory lets it")
	assert.ErrorIs(t, second.Stale(), shmseg.ErrStale)

	require.NoError(t, os.Symlink("elsewhere", filepath.Join(dir, "shmwire.name")))
	assert.ErrorIs(t, second.Stale(), shmseg.ErrStale)
	assert.ErrorIs(t, second.Remove(), shmseg.ErrStale)
	require.NoError(t, os.Remove(filepath.Join(dir, "shmwire.name")))
}

func TestDetachedNamedSegment(t *testing.T) {
	dir := shmtest.ShmDir(t)
	s := mustNamed(t, "gone", shmseg.NamedOptions{Dir: dir, Regions: []int{64}})
	require.NoError(t, s.Detach())
	require.NoError(t, s.Detach())
	assert.ErrorIs(t, s.Stale(), os.ErrClosed)
	assert.ErrorIs(t, s.Remove(), os.ErrClosed)
	assert.Equal(t, -1, s.FD())
	assert.Panics(t, func() { s.Region(0) })
	assert.Panics(t, func() { _, _ = s.Header() })
	assert.Panics(t, func() { _ = s.Guard(func() {}) })
	require.NoError(t, shmseg.RemoveNamed("gone", shmseg.RemoveOptions{Dir: dir}))
}

func TestMemfdHasNoName(t *testing.T) {
	s := mustCreate(t, shmseg.MemfdOptions{Name: "shown only", Regions: []int{64}})
	assert.Equal(t, shmseg.Memfd, s.Kind())
	assert.Empty(t, s.Name())
	assert.NoError(t, s.Stale())
	assert.NoError(t, s.Remove())
}

func TestNamesOfSegments(t *testing.T) {
	dir := shmtest.ShmDir(t)
	for _, name := range []string{"a", "a b", "über", "a.b", "-", "shmwire.x", strings.Repeat("n", shmseg.MaxSegmentNameBytes)} {
		s, err := shmseg.CreateNamed(name, shmseg.NamedOptions{Dir: dir, Regions: []int{1}})
		require.NoError(t, err, "%q", name)
		assert.Equal(t, []string{"shmwire." + name}, entries(t, dir))
		mustOpenNamed(t, name, shmseg.OpenOptions{Dir: dir})
		require.NoError(t, errors.Join(s.Remove(), s.Detach()))
	}
	for _, name := range []string{
		"", ".", "..", ".hidden", "a/b", "/", "../x", "a\x00b", "\x00", "line\n", "\x7f", "\u0085", "\xff",
		strings.Repeat("n", shmseg.MaxSegmentNameBytes+1), strings.Repeat("n", 256),
	} {
		leavesDir(t, dir, func() {
			_, err := shmseg.CreateNamed(name, shmseg.NamedOptions{Dir: dir, Regions: []int{1}})
			assert.ErrorIs(t, err, os.ErrInvalid, "%q", name)
			assert.ErrorContains(t, err, fmt.Sprintf("%d bytes", len(name)))
			_, err = shmseg.OpenNamed(name, shmseg.OpenOptions{Dir: dir})
			assert.ErrorIs(t, err, os.ErrInvalid, "%q", name)
			assert.ErrorIs(t, shmseg.RemoveNamed(name, shmseg.RemoveOptions{Dir: dir}), os.ErrInvalid, "%q", name)
		})
	}
	assert.LessOrEqual(t, len(".shmwire.")+shmseg.MaxSegmentNameBytes+1+16, 255)
}

func TestDefaultDirectory(t *testing.T) {
	name := fmt.Sprintf("segtest-%d", os.Getpid())
	s := mustNamed(t, name, shmseg.NamedOptions{Regions: []int{64}})
	s.Region(0)[0] = 4
	_, err := os.Stat("/dev/shm/shmwire." + name)
	require.NoError(t, err)
	assert.Equal(t, byte(4), mustOpenNamed(t, name, shmseg.OpenOptions{}).Region(0)[0])
	require.NoError(t, shmseg.RemoveNamed(name, shmseg.RemoveOptions{}))
}

// A segment keeps to the directory it was made in, whatever the working directory is later on.
func TestRelativeDirectory(t *testing.T) {
	dir := shmtest.ShmDir(t)
	t.Chdir(dir)
	s := mustNamed(t, "here", shmseg.NamedOptions{Dir: ".", Regions: []int{64}})
	t.Chdir("/")
	assert.NoError(t, s.Stale())
	assert.NoError(t, s.Remove())
}

func TestModes(t *testing.T) {
	dir := shmtest.ShmDir(t)
	for _, tt := range []struct{ asked, got os.FileMode }{
		{0, 0o600}, {0o600, 0o600}, {0o640, 0o640}, {0o660, 0o660}, {0o666, 0o666},
	} {
		s, err := shmseg.CreateNamed("m", shmseg.NamedOptions{Dir: dir, Regions: []int{1}, Mode: tt.asked})
		require.NoError(t, err)
		st, err := os.Stat(filepath.Join(dir, "shmwire.m"))
		require.NoError(t, err)
		assert.Equal(t, tt.got, st.Mode())
		require.NoError(t, errors.Join(s.Remove(), s.Detach()))
	}
	for _, mode := range []os.FileMode{0o400, 0o200, 0o066, 0o700, 0o601, 0o1600, os.ModeSticky | 0o600, os.ModeSetuid | 0o600} {
		leavesDir(t, dir, func() {
			_, err := shmseg.CreateNamed("m", shmseg.NamedOptions{Dir: dir, Regions: []int{1}, Mode: mode})
			assert.ErrorIs(t, err, os.ErrInvalid, "%v", mode)
		})
	}
}

func TestNamedDescriptorEndsOnExec(t *testing.T) {
	dir := shmtest.ShmDir(t)
	s := mustNamed(t, "x", shmseg.NamedOptions{Dir: dir, Regions: []int{1}})
	for _, each := range []*shmseg.Segment{s, mustOpenNamed(t, "x", shmseg.OpenOptions{Dir: dir})} {
		flags, err := unix.FcntlInt(uintptr(each.FD()), unix.F_GETFD, 0)
		require.NoError(t, err)
		assert.Equal(t, unix.FD_CLOEXEC, flags)
	}
}

func TestNamedMemoryIsReserved(t *testing.T) {
	dir := shmtest.ShmDir(t)
	const size = 3<<20 + 5000
	for _, prefault := range []bool{false, true} {
		s, err := shmseg.CreateNamed("full", shmseg.NamedOptions{Dir: dir, Regions: []int{size}, Prefault: prefault})
		require.NoError(t, err)
		var st unix.Stat_t
		require.NoError(t, unix.Fstat(s.FD(), &st))
		assert.GreaterOrEqual(t, st.Blocks*512, int64(s.Size()))
		assert.Equal(t, int64(s.Size()), st.Size)
		require.NoError(t, errors.Join(s.Remove(), s.Detach()))
	}
}

// What Init writes is there before anybody can open the segment.
func TestInit(t *testing.T) {
	dir := shmtest.ShmDir(t)
	o := shmseg.NamedOptions{Dir: dir, Regions: []int{64}, Init: func(s *shmseg.Segment) error {
		s.Region(0)[0] = 77
		_, err := shmseg.OpenNamed("i", shmseg.OpenOptions{Dir: dir})
		assert.ErrorIs(t, err, os.ErrNotExist)
		_, err = s.Header()
		assert.ErrorIs(t, err, shmseg.ErrNotSegment)
		return nil
	}}
	mustNamed(t, "i", o)
	assert.Equal(t, byte(77), mustOpenNamed(t, "i", shmseg.OpenOptions{Dir: dir}).Region(0)[0])

	failed := errors.New("no")
	leavesDir(t, dir, func() {
		o.Init = func(*shmseg.Segment) error { return failed }
		_, err := shmseg.CreateNamed("j", o)
		assert.ErrorIs(t, err, failed)
	})
	leavesDir(t, dir, func() {
		o.Init = func(*shmseg.Segment) error { panic(failed) }
		assert.PanicsWithValue(t, failed, func() { _, _ = shmseg.CreateNamed("j", o) })
	})
}

// The lock on the life byte says whether anybody has the segment: from before it has its name, and as long as one
// mapping is left.
func TestLifeLock(t *testing.T) {
	dir := shmtest.ShmDir(t)
	var real *sys.Table
	inUse := func(file string) bool {
		fd, err := real.OpenAt(sys.AtCwd, filepath.Join(dir, file), false)
		require.NoError(t, err)
		defer func() { assert.NoError(t, sys.Close(fd)) }()
		err = real.LockByte(fd, true, shmseg.LifeByte)
		if err != nil {
			assert.ErrorIs(t, err, sys.EAGAIN)
		}
		return err != nil
	}
	s := mustNamed(t, "life", shmseg.NamedOptions{Dir: dir, Regions: []int{64}, Init: func(*shmseg.Segment) error {
		half := entries(t, dir)
		require.Len(t, half, 1)
		assert.Regexp(t, `^\.shmwire\.life\.[0-9a-f]{16}$`, half[0])
		assert.True(t, inUse(half[0]), "half-made")
		return nil
	}})
	assert.True(t, inUse("shmwire.life"))
	reader, err := shmseg.OpenNamed("life", shmseg.OpenOptions{Dir: dir, ReadOnly: true})
	require.NoError(t, err)
	require.NoError(t, s.Detach())
	assert.True(t, inUse("shmwire.life"), "a reader is left")

	require.NoError(t, unix.Close(mustDup(t, reader.FD())))
	assert.True(t, inUse("shmwire.life"), "closing a duplicate gives nothing back")
	require.NoError(t, reader.Detach())
	assert.False(t, inUse("shmwire.life"))
	require.NoError(t, shmseg.RemoveNamed("life", shmseg.RemoveOptions{Dir: dir}))
}
