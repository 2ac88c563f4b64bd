package shmseg_test

import (
	"encoding/binary"
	"errors"
	"math"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
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

// Whatever has the name already: it is neither opened as a segment, nor waited for, nor followed, nor replaced.
func TestWhatElseCanHaveTheName(t *testing.T) {
	tests := []struct {
		name      string
		plant     func(t *testing.T, path string)
		err       error  // of opening, or
		check     string // the check that fails
		removable bool
	}{
		{"empty file", func(t *testing.T, path string) {
			require.NoError(t, os.WriteFile(path, nil, 0o600))
		}, shmseg.ErrTruncated, "", true},
		{"text", func(t *testing.T, path string) {
			require.NoError(t, os.WriteFile(path, []byte("#!/bin/sh\n"), 0o600))
		}, shmseg.ErrNotSegment, "", true},
		{"zeros", func(t *testing.T, path string) {
			require.NoError(t, os.WriteFile(path, make([]byte, 8192), 0o600))
		}, shmseg.ErrNotSegment, "", true},
		{"directory", func(t *testing.T, path string) {
			require.NoError(t, os.Mkdir(path, 0o700))
		}, nil, shmseg.CheckFileType, false},
		{"link to a segment", func(t *testing.T, path string) {
			target := mustNamed(t, "target", shmseg.NamedOptions{Dir: shmtest.ShmDir(t), Regions: []int{agreed}})
			require.NoError(t, os.Symlink("/proc/self/fd/"+strconv.Itoa(target.FD()), path))
		}, nil, shmseg.CheckFileType, false},
		{"link to nothing", func(t *testing.T, path string) {
			require.NoError(t, os.Symlink("nothing", path))
		}, nil, shmseg.CheckFileType, false},
		{"FIFO", func(t *testing.T, path string) {
			require.NoError(t, unix.Mkfifo(path, 0o600))
		}, nil, shmseg.CheckFileType, false},
		{"socket", func(t *testing.T, path string) {
			ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
			require.NoError(t, err)
			ln.SetUnlinkOnClose(false)
			require.NoError(t, ln.Close())
		}, nil, shmseg.CheckFileType, false},
		{"another user's segment", func(t *testing.T, path string) {
			if os.Geteuid() != 0 {
				t.Skip("only root can give a file away")
			}
			copySegment(t, path, func([]byte) {})
			require.NoError(t, os.Chown(path, 4711, -1))
		}, nil, shmseg.CheckOwner, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			shmtest.Watchdog(t, time.Minute)
			dir := shmtest.ShmDir(t)
			path := filepath.Join(dir, "shmwire.taken")
			tt.plant(t, path)
			defer func() { assert.NoError(t, os.RemoveAll(path)) }()
			before := lookOf(t, path)
			leavesDir(t, dir, func() {
				for _, readOnly := range []bool{false, true} {
					_, err := shmseg.OpenNamed("taken", shmseg.OpenOptions{Dir: dir, ReadOnly: readOnly})
					require.Error(t, err)
					var bad *shmseg.AttachError
					if tt.check != "" && assert.ErrorAs(t, err, &bad) {
						assert.Equal(t, tt.check, bad.Check)
					} else {
						assert.ErrorIs(t, err, tt.err)
					}
				}
				_, err := shmseg.CreateNamed("taken", shmseg.NamedOptions{Dir: dir, Regions: []int{agreed}})
				assert.ErrorIs(t, err, os.ErrExist)
				assert.Equal(t, before, lookOf(t, path))
			})
			if err := shmseg.RemoveNamed("taken", shmseg.RemoveOptions{Dir: dir}); tt.removable {
				assert.NoError(t, err)
			} else {
				var bad *shmseg.AttachError
				assert.ErrorAs(t, err, &bad)
				assert.Equal(t, before, lookOf(t, path))
			}
		})
	}
}

// lookOf returns all that must stay the same of what has the name.
func lookOf(t testing.TB, path string) [5]any {
	t.Helper()
	var st unix.Stat_t
	require.NoError(t, unix.Lstat(path, &st))
	text, _ := os.Readlink(path)
	return [5]any{st.Ino, st.Mode, st.Size, st.Mtim, text}
}

// copySegment writes to path what a whole segment of one region consists of, after change has had its way with it.
func copySegment(t testing.TB, path string, change func(b []byte)) {
	t.Helper()
	s, err := shmseg.CreateNamed("original", shmseg.NamedOptions{Dir: filepath.Dir(path), Regions: []int{agreed}})
	require.NoError(t, err)
	b := append([]byte(nil), s.Bytes()...)
	require.NoError(t, errors.Join(s.Remove(), s.Detach()))
	change(b)
	require.NoError(t, os.WriteFile(path, b, 0o600))
}

func TestOpenRefusesWrongSize(t *testing.T) {
	for _, tt := range []struct {
		name string
		size int64
		err  error
	}{
		{"as it was", 8192, nil},
		{"a byte less", 8191, shmseg.ErrTruncated},
		{"header alone", 4096, shmseg.ErrTruncated},
		{"half a header", 2000, shmseg.ErrTruncated},
		{"magic alone", 8, shmseg.ErrTruncated},
		{"nothing", 0, shmseg.ErrTruncated},
		{"a byte more", 8193, shmseg.ErrGeometry},
		{"grown", 1 << 40, shmseg.ErrGeometry},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := shmtest.ShmDir(t)
			path := filepath.Join(dir, "shmwire.sized")
			copySegment(t, path, func([]byte) {})
			defer func() { assert.NoError(t, os.Remove(path)) }()
			require.NoError(t, os.Truncate(path, tt.size))
			leavesDir(t, dir, func() {
				for _, regions := range [][]int{nil, {agreed}} {
					s, err := shmseg.OpenNamed("sized", shmseg.OpenOptions{Dir: dir, Regions: regions})
					assert.ErrorIs(t, err, tt.err)
					if err == nil {
						require.NoError(t, s.Detach())
					}
				}
			})
		})
	}
}

// Each field of the header is changed in the file, with a checksum that fits.
func TestOpenRefusesEachField(t *testing.T) {
	le := binary.LittleEndian
	u32 := func(off int, v uint32) func(b []byte) {
		return func(b []byte) { le.PutUint32(b[off:], v); repair(b) }
	}
	u64 := func(off int, v uint64) func(b []byte) {
		return func(b []byte) { le.PutUint64(b[off:], v); repair(b) }
	}
	for _, tt := range []struct {
		name   string
		change func(b []byte)
		offset int
		err    error
	}{
		{"magic", func(b []byte) { b[3] ^= 1 }, 0, shmseg.ErrNotSegment},
		{"version", u32(8, 2), 8, shmseg.ErrVersion},
		{"header size", u32(12, 8192), 12, shmseg.ErrGeometry},
		{"byte order", func(b []byte) {
			b[16], b[17], b[18], b[19] = b[19], b[18], b[17], b[16]
			repair(b)
		}, 16, shmseg.ErrByteOrder},
		{"kind memfd", u32(20, uint32(shmseg.Memfd)), 20, shmseg.ErrGeometry},
		{"kind SysV", u32(20, uint32(shmseg.SysV)), 20, shmseg.ErrGeometry},
		{"page size", u32(24, 5000), 24, shmseg.ErrGeometry},
		{"line size", u32(28, 64), 28, shmseg.ErrGeometry},
		{"size larger than the file", u64(32, 12288), 32, shmseg.ErrTruncated},
		{"size beyond the bound", u64(32, 1<<30+4096), 32, shmseg.ErrGeometry},
		{"size beyond everything", u64(32, math.MaxInt64&^4095), 32, shmseg.ErrGeometry},
		{"region count", u32(40, 2), 144, shmseg.ErrGeometry},
		{"generation", u64(64, 0), 64, shmseg.ErrGeometry},
		{"creator", u32(72, 0), 72, shmseg.ErrGeometry},
		{"boot id", func(b []byte) { b[90] ^= 1; repair(b) }, 88, shmseg.ErrStale},
		{"created", u64(112, 1<<63), 112, shmseg.ErrGeometry},
		{"checksum", u32(60, 1234), -1, nil}, // the id may be anything
		{"damaged", func(b []byte) { b[60]++ }, 120, shmseg.ErrChecksum},
		{"region offset", u64(128, 100), 128, shmseg.ErrGeometry},
		{"region size", u64(136, 1<<40), 136, shmseg.ErrGeometry},
		{"reserved", u32(124, 1), 124, shmseg.ErrGeometry},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := shmtest.ShmDir(t)
			path := filepath.Join(dir, "shmwire.header")
			copySegment(t, path, tt.change)
			defer func() { assert.NoError(t, os.Remove(path)) }()
			leavesDir(t, dir, func() {
				s, err := shmseg.OpenNamed("header", shmseg.OpenOptions{Dir: dir})
				if tt.err == nil {
					require.NoError(t, err)
					require.NoError(t, s.Detach())
					return
				}
				var bad *shmseg.HeaderError
				require.ErrorAs(t, err, &bad)
				assert.ErrorIs(t, err, tt.err)
				assert.Equal(t, tt.offset, bad.Offset, "%v", err)
			})
		})
	}
}

func TestOpenWithOtherRegions(t *testing.T) {
	dir := shmtest.ShmDir(t)
	mustNamed(t, "r", shmseg.NamedOptions{Dir: dir, Regions: []int{100, 200}})
	leavesDir(t, dir, func() {
		for _, regions := range [][]int{{100}, {100, 200, 1}, {100, 201}, {200, 100}, {100, 20000}, {1}} {
			_, err := shmseg.OpenNamed("r", shmseg.OpenOptions{Dir: dir, Regions: regions})
			assert.ErrorIs(t, err, shmseg.ErrGeometry, "%v", regions)
		}
		for name, regions := range badRegions() {
			_, err := shmseg.OpenNamed("r", shmseg.OpenOptions{Dir: dir, Regions: regions})
			assert.ErrorIs(t, err, shmseg.ErrGeometry, name)
			_, err = shmseg.CreateNamed("s", shmseg.NamedOptions{Dir: dir, Regions: regions})
			assert.ErrorIs(t, err, shmseg.ErrGeometry, name)
		}
		_, err := shmseg.CreateNamed("s", shmseg.NamedOptions{Dir: dir})
		assert.ErrorIs(t, err, shmseg.ErrGeometry, "no regions")
	})
}

func TestMaxBytes(t *testing.T) {
	dir := shmtest.ShmDir(t)
	mustNamed(t, "b", shmseg.NamedOptions{Dir: dir, Regions: []int{5000}}) // 12288 bytes in all
	leavesDir(t, dir, func() {
		for _, limit := range []int{1, 4096, 12287} {
			_, err := shmseg.OpenNamed("b", shmseg.OpenOptions{Dir: dir, MaxBytes: limit})
			assert.ErrorIs(t, err, shmseg.ErrGeometry)
		}
		_, err := shmseg.OpenNamed("b", shmseg.OpenOptions{Dir: dir, MaxBytes: -1})
		assert.ErrorIs(t, err, os.ErrInvalid)
	})
	mustOpenNamed(t, "b", shmseg.OpenOptions{Dir: dir, MaxBytes: 12288})
	mustOpenNamed(t, "b", shmseg.OpenOptions{Dir: dir, MaxBytes: 1, Regions: []int{5000}})
}

// Only directories of memory files will do: elsewhere every page would be written to a disk, or fetched from a server.
func TestDirectoryOfOtherFiles(t *testing.T) {
	for name, tt := range map[string]struct {
		dir string
		err error
	}{
		"proc":          {"/proc/self", nil},
		"not there":     {"/dev/shm/no such directory", os.ErrNotExist},
		"no directory":  {"/proc/self/stat", unix.ENOTDIR},
		"name too long": {"/dev/shm/" + strings.Repeat("n", 256), unix.ENAMETOOLONG},
	} {
		t.Run(name, func(t *testing.T) {
			fds := shmtest.FDs(t)
			_, err := shmseg.CreateNamed("x", shmseg.NamedOptions{Dir: tt.dir, Regions: []int{1}})
			_, err2 := shmseg.OpenNamed("x", shmseg.OpenOptions{Dir: tt.dir})
			err3 := shmseg.RemoveNamed("x", shmseg.RemoveOptions{Dir: tt.dir})
			for _, err := range []error{err, err2, err3} {
				var bad *shmseg.AttachError
				if tt.err != nil {
					assert.ErrorIs(t, err, tt.err)
				} else if assert.ErrorAs(t, err, &bad) {
					assert.Equal(t, shmseg.CheckFileSystem, bad.Check)
					assert.Equal(t, "proc", bad.Got)
					assert.Equal(t, "tmpfs", bad.Want)
					assert.ErrorContains(t, err, "/proc/self")
				}
			}
			assert.Equal(t, fds, shmtest.FDs(t))
		})
	}
	t.Run("disk", func(t *testing.T) {
		dir := t.TempDir()
		var fs unix.Statfs_t
		require.NoError(t, unix.Statfs(dir, &fs))
		if uint32(fs.Type) == sys.TMPFS_MAGIC {
			t.Skip("temporary files are memory files here")
		}
		leavesDir(t, dir, func() {
			_, err := shmseg.CreateNamed("x", shmseg.NamedOptions{Dir: dir, Regions: []int{1}})
			var bad *shmseg.AttachError
			require.ErrorAs(t, err, &bad)
			assert.Equal(t, sys.FileSystemName(uint32(fs.Type)), bad.Got)
		})
	})
}

// sink keeps the compiler from leaving out a load.
var sink byte

// faultsPanic tells whether a fault in this goroutine is a panic now.
func faultsPanic() bool {
	now := debug.SetPanicOnFault(false)
	debug.SetPanicOnFault(now)
	return now
}

// Somebody who may write the file truncates it while it is mapped.
func TestTruncatedWhileMapped(t *testing.T) {
	shmtest.NeedsFaultAddresses(t)
	dir := shmtest.ShmDir(t)
	s := mustNamed(t, "cut", shmseg.NamedOptions{Dir: dir, Regions: []int{64, 1 << 16}})
	path := filepath.Join(dir, "shmwire.cut")
	user := mustOpenNamed(t, "cut", shmseg.OpenOptions{Dir: dir})
	far := user.Region(1)[1<<15:]

	require.NoError(t, os.Truncate(path, 8192))
	before := faultsPanic()
	for name, touch := range map[string]func(){
		"load":  func() { sink = far[0] },
		"store": func() { far[1] = 1 },
		"copy":  func() { copy(make([]byte, 1<<14), far) },
		"fill":  func() { copy(far, make([]byte, 1<<14)) },
	} {
		err := user.Guard(touch)
		assert.ErrorIs(t, err, shmseg.ErrTruncated, name)
	}
	assert.Equal(t, before, faultsPanic(), "the guard is taken back")
	assert.NoError(t, user.Guard(func() { user.Region(0)[0] = 1 }), "what is left is usable")
	_, err := user.Header()
	assert.NoError(t, err)

	require.NoError(t, os.Truncate(path, 100))
	_, err = s.Header()
	assert.ErrorIs(t, err, shmseg.ErrTruncated)
	_, err = shmseg.OpenNamed("cut", shmseg.OpenOptions{Dir: dir})
	assert.ErrorIs(t, err, shmseg.ErrTruncated)
}

// The guard is for one segment's truncated memory and for nothing else.
func TestGuardLetsOtherFaultsThrough(t *testing.T) {
	shmtest.NeedsFaultAddresses(t)
	dir := shmtest.ShmDir(t)
	mine := mustNamed(t, "mine", shmseg.NamedOptions{Dir: dir, Regions: []int{64}})
	other := mustNamed(t, "other", shmseg.NamedOptions{Dir: dir, Regions: []int{64}})
	assert.PanicsWithValue(t, "own", func() { _ = mine.Guard(func() { panic("own") }) })
	assert.Panics(t, func() { _ = mine.Guard(func() { sink = mine.Region(0)[len(mine.Name())*100] }) })
	assert.Panics(t, func() { _ = mine.Guard(func() { var p *byte; sink = *p }) })
	require.NoError(t, os.Truncate(filepath.Join(dir, "shmwire.other"), 0))
	assert.Panics(t, func() { _ = mine.Guard(func() { sink = other.Region(0)[0] }) })
	assert.ErrorIs(t, other.Guard(func() {
		assert.NoError(t, mine.Guard(func() { sink = mine.Region(0)[0] }))
		sink = other.Region(0)[0]
	}), shmseg.ErrTruncated, "nested")
	assert.NoError(t, mine.Guard(func() {}))
}
