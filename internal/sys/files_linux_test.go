package sys_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/shmwire/shmwire/internal/shmtest"
	"github.com/shmwire/shmwire/internal/sys"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// openDir opens a new directory and returns its path too.
func openDir(t testing.TB) (fd int, path string) {
	t.Helper()
	path = t.TempDir()
	fd, err := (*sys.Table)(nil).OpenDir(path)
	require.NoError(t, err)
	t.Cleanup(func() { closeFD(t, fd) })
	return fd, path
}

func flagsOf(t testing.TB, fd int) (ofDescriptor, ofDescription int) {
	t.Helper()
	a, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	require.NoError(t, err)
	b, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	require.NoError(t, err)
	return a, b
}

func TestFilesInADirectory(t *testing.T) {
	for name, table := range map[string]*sys.Table{"nil": nil, "empty": {}} {
		t.Run(name, func(t *testing.T) {
			dir, path := openDir(t)
			fd, err := table.CreateAt(dir, "a")
			require.NoError(t, err)
			defer closeFD(t, fd)
			onExec, mode := flagsOf(t, fd)
			assert.Equal(t, unix.FD_CLOEXEC, onExec)
			assert.Equal(t, unix.O_RDWR, mode&unix.O_ACCMODE)

			require.NoError(t, table.Chmod(fd, 0o640))
			require.NoError(t, table.Truncate(fd, 5))
			byFD, err := table.Stat(fd)
			require.NoError(t, err)
			assert.Equal(t, uint32(os.Geteuid()), byFD.UID)
			assert.Equal(t, uint32(0o640), byFD.Mode&0o777)
			byName, err := table.StatAt(dir, "a")
			require.NoError(t, err)
			assert.Equal(t, byFD, byName)
			byPath, err := table.StatAt(sys.AtCwd, filepath.Join(path, "a"))
			require.NoError(t, err)
			assert.Equal(t, byFD, byPath)

			require.NoError(t, table.LinkAt(dir, "a", "b"))
			require.NoError(t, table.UnlinkAt(dir, "a"))
			if err := table.RenameAt(dir, "b", "c"); !errors.Is(err, sys.EINVAL) {
				require.NoError(t, err)
				require.NoError(t, table.LinkAt(dir, "c", "b"))
			}
			for _, readOnly := range []bool{true, false} {
				again, err := table.OpenAt(dir, "b", readOnly)
				require.NoError(t, err)
				onExec, mode := flagsOf(t, again)
				assert.Equal(t, unix.FD_CLOEXEC, onExec)
				assert.Equal(t, readOnly, mode&unix.O_ACCMODE == unix.O_RDONLY)
				b := make([]byte, 9)
				n, err := table.ReadAt(again, b, 2)
				assert.Equal(t, 3, n)
				assert.NoError(t, err)
				closeFD(t, again)
			}
		})
	}
}

// A name that is taken stays whose it is, in whatever way one asks for it.
func TestNamesAreNotTakenAway(t *testing.T) {
	var real *sys.Table
	dir, path := openDir(t)
	for _, name := range []string{"old", "new"} {
		require.NoError(t, os.WriteFile(filepath.Join(path, name), []byte(name), 0o600))
	}
	require.NoError(t, os.Symlink("nowhere", filepath.Join(path, "link")))
	_, err := real.CreateAt(dir, "old")
	assert.ErrorIs(t, err, sys.EEXIST)
	_, err = real.CreateAt(dir, "link")
	assert.ErrorIs(t, err, sys.EEXIST)
	if err := real.RenameAt(dir, "new", "old"); !errors.Is(err, sys.EINVAL) {
		assert.ErrorIs(t, err, os.ErrExist)
	}
	assert.ErrorIs(t, real.LinkAt(dir, "new", "old"), os.ErrExist)
	text, err := os.ReadFile(filepath.Join(path, "old"))
	assert.NoError(t, err)
	assert.Equal(t, "old", string(text))
}

func TestOpenAtNeitherFollowsNorWaits(t *testing.T) {
	var real *sys.Table
	shmtest.Watchdog(t, time.Minute)
	dir, path := openDir(t)
	require.NoError(t, os.WriteFile(filepath.Join(path, "file"), nil, 0o600))
	require.NoError(t, os.Symlink("file", filepath.Join(path, "link")))
	require.NoError(t, unix.Mkfifo(filepath.Join(path, "fifo"), 0o600))
	for _, readOnly := range []bool{true, false} {
		_, err := real.OpenAt(dir, "link", readOnly)
		assert.ErrorIs(t, err, sys.ELOOP)
		fd, err := real.OpenAt(dir, "fifo", readOnly)
		require.NoError(t, err)
		closeFD(t, fd)
	}
	_, err := real.OpenAt(dir, ".", false)
	assert.ErrorIs(t, err, sys.EISDIR)
}

// A lock belongs to the description: another one of the same process is refused, a duplicate is not, and it is given
// back with the last descriptor, or mapping.
func TestLockByte(t *testing.T) {
	var real *sys.Table
	dir, _ := openDir(t)
	fd, err := real.CreateAt(dir, "f")
	require.NoError(t, err)
	require.NoError(t, real.LockByte(fd, false, 0))
	other := func(exclusive bool, at int64) error {
		fd, err := real.OpenAt(dir, "f", false)
		require.NoError(t, err)
		defer closeFD(t, fd)
		return real.LockByte(fd, exclusive, at)
	}
	assert.NoError(t, other(false, 0), "two share")
	assert.ErrorIs(t, other(true, 0), sys.EAGAIN)
	assert.NoError(t, other(true, 1), "another byte")
	require.NoError(t, real.LockByte(fd, true, 4095), "behind the end of the file")
	assert.ErrorIs(t, other(false, 4095), sys.EAGAIN)

	dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	require.NoError(t, err)
	closeFD(t, fd)
	assert.ErrorIs(t, other(true, 0), sys.EAGAIN)
	closeFD(t, dup)
	assert.NoError(t, other(true, 0))
}

func TestFileErrorsNameTheCall(t *testing.T) {
	var real *sys.Table
	tests := []struct {
		call  string
		errno error
		do    func() error
	}{
		{"open", sys.ENOENT, func() error { _, err := real.OpenDir("/nowhere"); return err }},
		{"openat", sys.EBADF, func() error { _, err := real.CreateAt(-1, "x"); return err }},
		{"openat", sys.EBADF, func() error { _, err := real.OpenAt(-1, "x", true); return err }},
		{"fstatat", sys.EBADF, func() error { _, err := real.StatAt(-1, "x"); return err }},
		{"renameat2", sys.EBADF, func() error { return real.RenameAt(-1, "x", "y") }},
		{"linkat", sys.EBADF, func() error { return real.LinkAt(-1, "x", "y") }},
		{"unlinkat", sys.EBADF, func() error { return real.UnlinkAt(-1, "x") }},
		{"fchmod", sys.EBADF, func() error { return real.Chmod(-1, 0) }},
		{"fcntl(F_OFD_SETLK)", sys.EBADF, func() error { return real.LockByte(-1, true, 0) }},
		{"pread", sys.EBADF, func() error { _, err := real.ReadAt(-1, make([]byte, 1), 0); return err }},
	}
	for _, tt := range tests {
		t.Run(tt.call, func(t *testing.T) {
			err := tt.do()
			var named *os.SyscallError
			require.ErrorAs(t, err, &named)
			assert.Equal(t, tt.call, named.Syscall)
			assert.ErrorIs(t, err, tt.errno)
		})
	}
}

func TestReplacedFileCalls(t *testing.T) {
	fail := &sys.Table{
		Open:      func(string) (int, error) { return -1, sys.EIO },
		OpenatNew: func(int, string) (int, error) { return -1, sys.EIO },
		Openat:    func(int, string, bool) (int, error) { return -1, sys.EIO },
		Fstatat:   func(int, string) (sys.Stat, error) { return sys.Stat{}, sys.EIO },
		Renameat2: func(int, string, string) error { return sys.EIO },
		Linkat:    func(int, string, string) error { return sys.EIO },
		Unlinkat:  func(int, string) error { return sys.EIO },
		Fchmod:    func(int, uint32) error { return sys.EIO },
		SetLock:   func(int, bool, int64) error { return sys.EIO },
		Pread:     func(int, []byte, int64) (int, error) { return 0, sys.EIO },
	}
	var errs [10]error
	_, errs[0] = fail.OpenDir("x")
	_, errs[1] = fail.CreateAt(0, "x")
	_, errs[2] = fail.OpenAt(0, "x", true)
	_, errs[3] = fail.StatAt(0, "x")
	errs[4] = fail.RenameAt(0, "x", "y")
	errs[5] = fail.LinkAt(0, "x", "y")
	errs[6] = fail.UnlinkAt(0, "x")
	errs[7] = fail.Chmod(0, 0)
	errs[8] = fail.LockByte(0, true, 0)
	_, errs[9] = fail.ReadAt(0, nil, 0)
	for _, err := range errs {
		assert.ErrorIs(t, err, sys.EIO)
	}
}

// A signal costs no more than the piece that it interrupted.
func TestReserveGoesOnWhereItWasInterrupted(t *testing.T) {
	const size = 7<<20 + 12345
	var end int64
	calls := 0
	table := &sys.Table{Fallocate: func(_ int, at, n int64) error {
		if calls++; calls%2 == 1 {
			return sys.EINTR
		}
		assert.Equal(t, end, at, "neither gap nor overlap")
		end += n
		return nil
	}}
	require.NoError(t, table.Reserve(0, size))
	assert.Equal(t, int64(size), end)
	assert.Greater(t, calls, 4)
}

func TestFileSystemName(t *testing.T) {
	assert.Equal(t, "tmpfs", sys.FileSystemName(sys.TMPFS_MAGIC))
	assert.Equal(t, "ext4", sys.FileSystemName(0xef53))
	assert.Equal(t, "file system 0x00000001", sys.FileSystemName(1))
}
