package sys_test

import (
	"encoding/binary"
	"os"
	"testing"

	"github.com/shmwire/shmwire/internal/shmtest"
	"github.com/shmwire/shmwire/internal/sys"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func newEventfd(t *testing.T) int {
	t.Helper()
	var table *sys.Table
	fd, err := table.NewEventfd()
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, sys.Close(fd)) })
	return fd
}

func fdFlags(t *testing.T, fd int) (status, descriptor int) {
	t.Helper()
	status, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	require.NoError(t, err)
	descriptor, err = unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	require.NoError(t, err)
	return status, descriptor
}

func TestNewEventfdFlags(t *testing.T) {
	status, descriptor := fdFlags(t, newEventfd(t))
	assert.NotZero(t, status&unix.O_NONBLOCK)
	assert.NotZero(t, descriptor&unix.FD_CLOEXEC)
}

func TestEventfdRingsAddUp(t *testing.T) {
	fd := newEventfd(t)
	for _, rings := range []uint64{0, 1, 3, 0} {
		for range rings {
			require.NoError(t, sys.EventfdRing(fd))
		}
		n, err := sys.EventfdDrain(fd)
		require.NoError(t, err)
		assert.Equal(t, rings, n)
	}
}

func TestRingOfAFullEventfdNeitherBlocksNorFails(t *testing.T) {
	fd := newEventfd(t)
	full := binary.NativeEndian.AppendUint64(nil, 1<<64-2)
	_, err := unix.Write(fd, full)
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() { done <- sys.EventfdRing(fd) }()
	require.NoError(t, shmtest.Soon(t, done, "ring of a full eventfd"))
	n, err := sys.EventfdDrain(fd)
	require.NoError(t, err)
	assert.EqualValues(t, uint64(1<<64-2), n)
}

func TestEventfdAdopt(t *testing.T) {
	blocking, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	require.NoError(t, err)
	defer func() { require.NoError(t, sys.Close(blocking)) }()
	kind, ok, err := sys.EventfdAdopt(blocking)
	require.NoError(t, err)
	assert.True(t, ok, kind)
	status, _ := fdFlags(t, blocking)
	assert.NotZero(t, status&unix.O_NONBLOCK, "adopted eventfds do not block")

	null, err := os.Open(os.DevNull)
	require.NoError(t, err)
	defer null.Close()
	kind, ok, err = sys.EventfdAdopt(int(null.Fd()))
	require.NoError(t, err)
	assert.False(t, ok)
	assert.Equal(t, os.DevNull, kind)
	status, _ = fdFlags(t, int(null.Fd()))
	assert.Zero(t, status&unix.O_NONBLOCK, "what is no eventfd is left alone")

	_, ok, err = sys.EventfdAdopt(-1)
	require.ErrorIs(t, err, os.ErrNotExist)
	assert.False(t, ok)
}

func TestEventfdDup(t *testing.T) {
	fd := newEventfd(t)
	dup, err := sys.EventfdDup(fd)
	require.NoError(t, err)
	_, descriptor := fdFlags(t, dup)
	assert.NotZero(t, descriptor&unix.FD_CLOEXEC)
	require.NoError(t, sys.EventfdRing(dup))
	require.NoError(t, sys.Close(dup))
	n, err := sys.EventfdDrain(fd)
	require.NoError(t, err)
	assert.EqualValues(t, 1, n)
}

func TestEventfdErrorsNameTheCall(t *testing.T) {
	_, err := sys.EventfdDrain(-1)
	assertCall(t, err, "read eventfd")
	assertCall(t, sys.EventfdRing(-1), "write eventfd")
	_, err = sys.EventfdDup(-1)
	assertCall(t, err, "fcntl(F_DUPFD_CLOEXEC)")
}

func assertCall(t *testing.T, err error, name string) {
	t.Helper()
	var call *os.SyscallError
	require.ErrorAs(t, err, &call)
	assert.Equal(t, name, call.Syscall)
	assert.ErrorIs(t, err, sys.EBADF)
}
