package sys_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/shmwire/shmwire/internal/sys"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func closeFD(t testing.TB, fd int) {
	t.Helper()
	assert.NoError(t, sys.Close(fd))
}

func TestNilTableMakesTheRealCalls(t *testing.T) {
	for name, table := range map[string]*sys.Table{"nil": nil, "empty": {}} {
		t.Run(name, func(t *testing.T) {
			fd, err := table.CreateMemfd("shmwire:table")
			require.NoError(t, err)
			defer closeFD(t, fd)
			require.NoError(t, table.Truncate(fd, 8192))
			require.NoError(t, table.Reserve(fd, 4096))

			st, err := table.Stat(fd)
			require.NoError(t, err)
			assert.Equal(t, int64(8192), st.Size)
			assert.True(t, st.IsRegular())
			assert.NotZero(t, st.Ino)
			assert.NotZero(t, st.Dev)
			assert.Zero(t, st.Nlink)

			magic, err := table.FileSystem(fd)
			require.NoError(t, err)
			assert.Equal(t, uint32(sys.TMPFS_MAGIC), magic)

			want := sys.F_SEAL_SHRINK | sys.F_SEAL_GROW
			require.NoError(t, table.Seal(fd, want))
			seals, err := table.Seals(fd)
			require.NoError(t, err)
			assert.Equal(t, want, seals&^sys.F_SEAL_EXEC)

			bell, err := table.NewEventfd()
			require.NoError(t, err)
			closeFD(t, bell)
		})
	}
}

func TestStatOfOtherFiles(t *testing.T) {
	dir, err := os.Open(t.TempDir())
	require.NoError(t, err)
	defer dir.Close()
	st, err := (*sys.Table)(nil).Stat(int(dir.Fd()))
	require.NoError(t, err)
	assert.False(t, st.IsRegular())
	assert.NotZero(t, st.Nlink)
}

func TestErrorsNameTheCall(t *testing.T) {
	var real *sys.Table
	tests := []struct {
		call  string
		errno error
		do    func() error
	}{
		{"ftruncate", sys.EBADF, func() error { return real.Truncate(-1, 1) }},
		{"fallocate", sys.EBADF, func() error { return real.Reserve(-1, 1) }},
		{"madvise", sys.EINVAL, func() error { return real.Prefault(make([]byte, 9)[1:]) }},
		{"fcntl(F_ADD_SEALS)", sys.EBADF, func() error { return real.Seal(-1, 0) }},
		{"fcntl(F_GET_SEALS)", sys.EBADF, func() error { _, err := real.Seals(-1); return err }},
		{"fstat", sys.EBADF, func() error { _, err := real.Stat(-1); return err }},
		{"fstatfs", sys.EBADF, func() error { _, err := real.FileSystem(-1); return err }},
		{"memfd_create", sys.EINVAL, func() error { _, err := real.CreateMemfd(strings.Repeat("n", 250)); return err }},
		{"close", sys.EBADF, func() error { return sys.Close(-1) }},
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

func TestReplacedCalls(t *testing.T) {
	fail := &sys.Table{
		MemfdCreate: func(string, int) (int, error) { return -1, sys.ENOSYS },
		Ftruncate:   func(int, int64) error { return sys.ENOSPC },
		Fallocate:   func(int, int64, int64) error { return sys.ENOSPC },
		Populate:    func([]byte) error { return sys.EFAULT },
		AddSeals:    func(int, int) error { return sys.EPERM },
		GetSeals:    func(int) (int, error) { return 0, sys.EINVAL },
		Fstat:       func(int) (sys.Stat, error) { return sys.Stat{}, sys.EIO },
		Fstatfs:     func(int) (uint32, error) { return 0, sys.EIO },
		Eventfd:     func() (int, error) { return -1, sys.EMFILE },
	}
	fd, err := fail.CreateMemfd("x")
	assert.Equal(t, -1, fd)
	assert.ErrorIs(t, err, errors.ErrUnsupported)
	assert.ErrorIs(t, fail.Truncate(0, 1), sys.ENOSPC)
	assert.ErrorIs(t, fail.Reserve(0, 1), sys.ENOSPC)
	assert.ErrorIs(t, fail.Prefault(nil), sys.EFAULT)
	assert.ErrorIs(t, fail.Seal(0, 1), sys.EPERM)
	_, err = fail.Seals(0)
	assert.EqualError(t, err, "fcntl(F_GET_SEALS): invalid argument")
	_, err = fail.Stat(0)
	assert.ErrorIs(t, err, sys.EIO)
	_, err = fail.FileSystem(0)
	assert.ErrorIs(t, err, sys.EIO)
	fd, err = fail.NewEventfd()
	assert.Equal(t, -1, fd)
	assert.ErrorIs(t, err, sys.EMFILE)
}

func TestCreateMemfdOnKernelsWithoutNoexec(t *testing.T) {
	var asked []int
	old := &sys.Table{MemfdCreate: func(name string, flags int) (int, error) {
		asked = append(asked, flags)
		if flags&sys.MFD_NOEXEC_SEAL != 0 {
			return -1, sys.EINVAL
		}
		return (*sys.Table)(nil).CreateMemfd(name)
	}}
	fd, err := old.CreateMemfd("shmwire:old")
	require.NoError(t, err)
	closeFD(t, fd)
	const base = sys.MFD_CLOEXEC | sys.MFD_ALLOW_SEALING
	assert.Equal(t, []int{base | sys.MFD_NOEXEC_SEAL, base}, asked)
}

func TestMemfdCannotBeExecuted(t *testing.T) {
	fd, err := (*sys.Table)(nil).CreateMemfd("shmwire:noexec")
	require.NoError(t, err)
	defer closeFD(t, fd)
	seals, err := (*sys.Table)(nil).Seals(fd)
	require.NoError(t, err)
	if seals&sys.F_SEAL_EXEC == 0 {
		t.Skip("this kernel does not know MFD_NOEXEC_SEAL (before Linux 6.3)")
	}
	st, err := (*sys.Table)(nil).Stat(fd)
	require.NoError(t, err)
	assert.Zero(t, st.Mode&0o111)
}

func TestInterruptedCallIsRepeated(t *testing.T) {
	calls := 0
	table := &sys.Table{Ftruncate: func(int, int64) error {
		if calls++; calls < 3 {
			return sys.EINTR
		}
		return nil
	}}
	assert.NoError(t, table.Truncate(0, 1))
	assert.Equal(t, 3, calls)
}

func TestErrorsThatAreNamedAlreadyStayAsTheyAre(t *testing.T) {
	named := os.NewSyscallError("other", sys.EIO)
	table := &sys.Table{Ftruncate: func(int, int64) error { return named }}
	assert.Equal(t, named, table.Truncate(0, 1))
}
