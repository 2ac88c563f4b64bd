package shmseg_test

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/shmwire/shmwire/internal/shmtest"
	"github.com/shmwire/shmwire/internal/sys"
	"github.com/shmwire/shmwire/shmseg"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// agreed is the size of the only region of the segments that the tests below expect: 8192 bytes in all.
const agreed = 4000

// mustMemfd returns a memfd of the given size and seals that nobody has mapped.
func mustMemfd(t testing.TB, flags int, size int64, seals int) int {
	t.Helper()
	fd, err := unix.MemfdCreate("shmwire:hostile", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING|flags)
	require.NoError(t, err)
	require.NoError(t, unix.Ftruncate(fd, size))
	if seals != 0 {
		require.NoError(t, (*sys.Table)(nil).Seal(fd, seals))
	}
	return fd
}

func mustOpen(t testing.TB, path string, flags int) int {
	t.Helper()
	fd, err := unix.Open(path, flags|unix.O_CLOEXEC, 0o600)
	require.NoError(t, err)
	return fd
}

// ordinaryFile returns the path of a file of exactly the size agreed.
func ordinaryFile(t testing.TB, dir string) string {
	t.Helper()
	f, err := os.CreateTemp(dir, "shmwire-attach-*")
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, os.Remove(f.Name())) })
	require.NoError(t, errors.Join(f.Truncate(8192), f.Close()))
	return f.Name()
}

func TestAttachRefuses(t *testing.T) {
	tests := []struct {
		name  string
		make  func(t *testing.T) int
		check string
	}{
		{"pipe", func(t *testing.T) int {
			var p [2]int
			require.NoError(t, unix.Pipe2(p[:], unix.O_CLOEXEC))
			require.NoError(t, unix.Close(p[1]))
			return p[0]
		}, shmseg.CheckSeals},
		{"socket", func(t *testing.T) int {
			p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			require.NoError(t, err)
			require.NoError(t, unix.Close(p[1]))
			return p[0]
		}, shmseg.CheckSeals},
		{"eventfd", func(t *testing.T) int {
			fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
			require.NoError(t, err)
			return fd
		}, shmseg.CheckSeals},
		{"directory", func(t *testing.T) int { return mustOpen(t, t.TempDir(), unix.O_RDONLY) }, shmseg.CheckSeals},
		{"/dev/zero", func(t *testing.T) int { return mustOpen(t, "/dev/zero", unix.O_RDWR) }, shmseg.CheckSeals},
		{"file in /tmp", func(t *testing.T) int {
			return mustOpen(t, ordinaryFile(t, t.TempDir()), unix.O_RDWR)
		}, shmseg.CheckSeals},
		{"file open for reading only", func(t *testing.T) int {
			return mustOpen(t, ordinaryFile(t, t.TempDir()), unix.O_RDONLY)
		}, shmseg.CheckSeals},
		{"file in /dev/shm", func(t *testing.T) int {
			return mustOpen(t, ordinaryFile(t, "/dev/shm"), unix.O_RDWR)
		}, shmseg.CheckSeals},
		{"path alone", func(t *testing.T) int {
			return mustOpen(t, "/proc/self/fd/"+strconv.Itoa(mustCreate(t, okay()).FD()), unix.O_PATH)
		}, shmseg.CheckSeals},
		{"memfd without seals", func(t *testing.T) int { return mustMemfd(t, 0, 8192, 0) }, shmseg.CheckSeals},
		{"huge pages", hugeMemfd, shmseg.CheckFileSystem},
		{"empty memfd", func(t *testing.T) int { return mustMemfd(t, 0, 0, shmseg.OneWriter) }, shmseg.CheckSize},
		{"memfd too small by a byte", func(t *testing.T) int {
			return mustMemfd(t, 0, 8191, shmseg.OneWriter)
		}, shmseg.CheckSize},
		{"memfd too large by a byte", func(t *testing.T) int {
			return mustMemfd(t, 0, 8193, shmseg.OneWriter)
		}, shmseg.CheckSize},
		{"sparse giant", func(t *testing.T) int {
			return mustMemfd(t, 0, 1<<40, shmseg.OneWriter)
		}, shmseg.CheckSize},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			fds := shmtest.FDs(t)
			fd := tt.make(t)
			refused(t, fd, shmseg.AttachOptions{Regions: []int{agreed}}, tt.check)
			_, open := shmtest.FDs(t)[fd]
			assert.False(t, open, "descriptor %d is still open", fd)
			assert.LessOrEqual(t, len(shmtest.FDs(t)), len(fds)+1) // one segment may live until the test's cleanup
		})
	}
}

func okay() shmseg.MemfdOptions { return shmseg.MemfdOptions{Regions: []int{agreed}} }

// refused checks that AttachMemfd maps nothing and names the check.
func refused(t testing.TB, fd int, o shmseg.AttachOptions, check string) {
	t.Helper()
	maps := mappings(t)
	s, err := shmseg.AttachMemfd(fd, o)
	assert.Nil(t, s)
	var bad *shmseg.AttachError
	require.ErrorAs(t, err, &bad)
	assert.Equal(t, check, bad.Check)
	assert.NotEmpty(t, bad.Want)
	assert.True(t, bad.Err != nil || bad.Got != "", "neither got nor error: %v", err)
	assert.Equal(t, maps, mappings(t))
}

// hugeMemfd returns a sealed memfd of huge pages. No such page needs to exist: nobody touches it.
func hugeMemfd(t *testing.T) int {
	fd, err := unix.MemfdCreate("shmwire:huge", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING|unix.MFD_HUGETLB)
	if err != nil {
		t.Skipf("this kernel gives no memfd of huge pages: %v", err)
	}
	require.NoError(t, (*sys.Table)(nil).Seal(fd, shmseg.OneWriter))
	return fd
}

// Every one of the four seals is needed.
func TestAttachRefusesPartlySealed(t *testing.T) {
	for name, missing := range map[string]int{
		"shrink": sys.F_SEAL_SHRINK, "grow": sys.F_SEAL_GROW,
		"future write": sys.F_SEAL_FUTURE_WRITE, "seal": sys.F_SEAL_SEAL,
	} {
		t.Run("without "+name, func(t *testing.T) {
			leavesNothing(t, func() {
				fd := mustMemfd(t, 0, 8192, shmseg.OneWriter&^missing)
				refused(t, fd, shmseg.AttachOptions{Regions: []int{agreed}}, shmseg.CheckSeals)
			})
		})
	}
}

func TestAttachTakesMoreSealsThanNeeded(t *testing.T) {
	fd := mustMemfd(t, 0, 8192, shmseg.OneWriter|sys.F_SEAL_WRITE)
	s, err := shmseg.AttachMemfd(fd, shmseg.AttachOptions{Regions: []int{agreed}})
	require.NoError(t, err)
	_, err = s.Header()
	assert.ErrorIs(t, err, shmseg.ErrNotSegment, "a segment without a header can be attached, but not shown")
	assert.NoError(t, s.Detach())
}

func TestAttachOfDescriptorOpenForReadingOnly(t *testing.T) {
	s := mustCreate(t, okay())
	fd := mustOpen(t, "/proc/self/fd/"+strconv.Itoa(s.FD()), unix.O_RDONLY|unix.O_NONBLOCK)
	peer, err := shmseg.AttachMemfd(fd, shmseg.AttachOptions{Regions: []int{agreed}})
	require.NoError(t, err)
	s.Region(0)[0] = 3
	assert.Equal(t, byte(3), peer.Region(0)[0])
	assert.NoError(t, peer.Detach())
}

func TestAttachOfDescriptorOpenForWritingOnly(t *testing.T) {
	s := mustCreate(t, okay())
	leavesNothing(t, func() {
		fd := mustOpen(t, "/proc/self/fd/"+strconv.Itoa(s.FD()), unix.O_WRONLY)
		_, err := shmseg.AttachMemfd(fd, shmseg.AttachOptions{Regions: []int{agreed}})
		var call *os.SyscallError
		require.ErrorAs(t, err, &call)
		assert.Equal(t, "mmap", call.Syscall)
		assert.ErrorIs(t, err, sys.EACCES)
	})
}

func TestAttachOfNoDescriptor(t *testing.T) {
	leavesNothing(t, func() {
		for _, fd := range []int{-1, 1 << 30} {
			_, err := shmseg.AttachMemfd(fd, shmseg.AttachOptions{Regions: []int{agreed}})
			assert.ErrorIs(t, err, sys.EBADF)
		}
	})
}

func TestAttachWithBadRegions(t *testing.T) {
	for name, regions := range badRegions() {
		t.Run(name, func(t *testing.T) {
			leavesNothing(t, func() {
				fd := mustMemfd(t, 0, 8192, shmseg.OneWriter)
				_, err := shmseg.AttachMemfd(fd, shmseg.AttachOptions{Regions: regions})
				assert.ErrorIs(t, err, shmseg.ErrGeometry)
				_, err = shmseg.CreateMemfd(shmseg.MemfdOptions{Regions: regions})
				assert.ErrorIs(t, err, shmseg.ErrGeometry)
			})
		})
	}
}

// The seals are asked for before anything that a hostile file system could answer, and nothing is asked after the first
// refusal.
func TestAttachAsksInOrder(t *testing.T) {
	s := mustCreate(t, okay())
	var asked []string
	var real *sys.Table
	fail := ""
	table := &sys.Table{
		GetSeals: func(fd int) (int, error) {
			asked = append(asked, shmseg.CheckSeals)
			if fail == shmseg.CheckSeals {
				return 0, sys.EIO
			}
			return real.Seals(fd)
		},
		Fstatfs: func(fd int) (uint32, error) {
			asked = append(asked, shmseg.CheckFileSystem)
			if fail == shmseg.CheckFileSystem {
				return 0, sys.EIO
			}
			return real.FileSystem(fd)
		},
		Fstat: func(fd int) (sys.Stat, error) {
			asked = append(asked, shmseg.CheckFileType)
			if fail == shmseg.CheckFileType {
				return sys.Stat{}, sys.EIO
			}
			return real.Stat(fd)
		},
	}
	order := []string{shmseg.CheckSeals, shmseg.CheckFileSystem, shmseg.CheckFileType}
	for i, check := range order {
		leavesNothing(t, func() {
			asked, fail = nil, check
			fd := mustDup(t, s.FD())
			_, err := shmseg.AttachMemfd(fd, shmseg.AttachOptions{Regions: []int{agreed}, Sys: table})
			var bad *shmseg.AttachError
			require.ErrorAs(t, err, &bad)
			assert.Equal(t, check, bad.Check)
			assert.ErrorIs(t, err, sys.EIO)
			assert.Equal(t, order[:i+1], asked)
		})
	}
}

func TestAttachRefusesOtherFileTypes(t *testing.T) {
	s := mustCreate(t, okay())
	table := &sys.Table{Fstat: func(int) (sys.Stat, error) {
		return sys.Stat{Mode: unix.S_IFCHR | 0o600, Size: 8192}, nil
	}}
	leavesNothing(t, func() {
		refused(t, mustDup(t, s.FD()), shmseg.AttachOptions{Regions: []int{agreed}, Sys: table}, shmseg.CheckFileType)
	})
}

func TestSegmentFileIsNotInAnyDirectory(t *testing.T) {
	s := mustCreate(t, okay())
	link, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(s.FD()))
	require.NoError(t, err)
	assert.Equal(t, "/memfd:shmwire: (deleted)", filepath.Clean(link))
}
