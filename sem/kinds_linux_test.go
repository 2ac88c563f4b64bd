package sem_test

import (
	"os"
	"testing"

	"github.com/edsrzf/mmap-go"
	"github.com/shmwire/shmwire/internal/mem"
	"github.com/shmwire/shmwire/internal/sys"
	"github.com/shmwire/shmwire/sem"
	"github.com/stretchr/testify/require"
)

func osKinds() []kind {
	return []kind{
		{name: "futex on the heap", exact: true, restless: true, open: openHeapFutex},
		{name: "futex on a sealed memfd", exact: true, restless: true, open: openMemfdFutex},
		{name: "eventfd", open: openEventfd},
	}
}

func openHeapFutex(t testing.TB) (sem.Doorbell, sem.Waiter) {
	region := mem.AlignedBytes(mem.LineBytes)
	// The word wraps in the middle of every test that rings more than a few times.
	mem.Uint32At(region, 4).Store(1<<32 - 3)
	return futexPair(t, region, region, 4)
}

// openMemfdFutex has two mappings of one sealed memfd; the waiter's is read-only.
func openMemfdFutex(t testing.TB) (sem.Doorbell, sem.Waiter) {
	t.Helper()
	f, own := sealedMemfd(t)
	return futexPair(t, own, readOnly(t, f), doorbellAt)
}

func futexPair(t testing.TB, own, peer []byte, off int) (sem.Doorbell, sem.Waiter) {
	t.Helper()
	bell, err := sem.NewFutexDoorbell(own, off, false)
	require.NoError(t, err)
	w, err := sem.NewFutexWaiter(peer, off)
	require.NoError(t, err)
	w.SleepForever()
	closeAtEnd(t, w)
	return bell, w
}

// sealedMemfd returns a memory file that nobody but the returned mapping can write.
func sealedMemfd(t testing.TB) (*os.File, []byte) {
	t.Helper()
	f, own, err := makeMemfd()
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, own.Unmap())
		require.NoError(t, f.Close())
	})
	return f, own
}

// makeMemfd is sealedMemfd for child processes, which end soon and free nothing.
func makeMemfd() (*os.File, mmap.MMap, error) {
	var table *sys.Table
	fd, err := table.CreateMemfd("shmwire:sem-test")
	if err != nil {
		return nil, nil, err
	}
	if err := table.Truncate(fd, regionBytes); err != nil {
		return nil, nil, err
	}
	f := os.NewFile(uintptr(fd), "memfd")
	own, err := mmap.MapRegion(f, regionBytes, mmap.RDWR, 0, 0)
	if err != nil {
		return nil, nil, err
	}
	return f, own, table.Seal(fd, sys.F_SEAL_SHRINK|sys.F_SEAL_GROW|sys.F_SEAL_FUTURE_WRITE|sys.F_SEAL_SEAL)
}

func readOnly(t testing.TB, f *os.File) []byte {
	t.Helper()
	m := readOnlyUntil(t, f)
	t.Cleanup(m.unmap)
	return m.bytes
}

// mapping is memory that a test takes away before it ends.
type mapping struct {
	bytes mmap.MMap
	unmap func()
}

func readOnlyUntil(t testing.TB, f *os.File) mapping {
	t.Helper()
	m, err := mmap.MapRegion(f, regionBytes, mmap.RDONLY, 0, 0)
	require.NoError(t, err)
	// Not m.Unmap itself: it empties the slice that it is called on.
	return mapping{bytes: m, unmap: func() {
		gone := m
		require.NoError(t, gone.Unmap())
	}}
}

func openEventfd(t testing.TB) (sem.Doorbell, sem.Waiter) {
	t.Helper()
	e, err := sem.NewEventfd(nil)
	require.NoError(t, err)
	closeAtEnd(t, e)
	return doorbellOf(t, e), e
}

func doorbellOf(t testing.TB, e *sem.Eventfd) *sem.EventfdDoorbell {
	t.Helper()
	fd, err := e.Dup()
	require.NoError(t, err)
	bell, err := sem.NewEventfdDoorbell(fd)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, bell.Close()) })
	return bell
}
