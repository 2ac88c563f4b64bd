package sem_test

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"

	"github.com/shmwire/shmwire/internal/shmtest"
	"github.com/shmwire/shmwire/internal/sys"
	"github.com/shmwire/shmwire/sem"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestTwoReadersOfOneEventfdSwallowRings shows the trap that invariant W6 names: the bell rings once for each of two
// sleepers, the first to read takes both rings, and the other sleeps on.
func TestTwoReadersOfOneEventfdSwallowRings(t *testing.T) {
	e, err := sem.NewEventfd(nil)
	require.NoError(t, err)
	closeAtEnd(t, e)
	bell := doorbellOf(t, e)
	v := e.Load()
	bell.Ring()
	bell.Ring()
	taken, err := sys.EventfdDrain(e.FD()) // the other reader
	require.NoError(t, err)
	assert.EqualValues(t, 2, taken)
	done := startWait(e, v, -1)
	shmtest.StillBlocked(t, done, "Wait whose ring another reader took")
	e.Interrupt()
	require.NoError(t, shmtest.Soon(t, done, "interrupted Wait"))
}

func TestManyEventfdWaitersNeedFewThreads(t *testing.T) {
	const waiters = 1000
	fds := len(shmtest.FDs(t))
	threads := countThreads(t)
	var sleepers [waiters]*sem.Eventfd
	done := make(chan error, waiters)
	for i := range sleepers {
		e, err := sem.NewEventfd(nil)
		require.NoError(t, err)
		sleepers[i] = e
		go func() { done <- e.Wait(e.Load(), -1) }()
	}
	shmtest.StillBlocked(t, done, "a thousand Waits")
	assert.LessOrEqual(t, countThreads(t), threads+20)
	assert.LessOrEqual(t, countThreads(t), 40)
	for _, e := range sleepers[:waiters/2] {
		e.Interrupt()
	}
	for range waiters / 2 {
		require.NoError(t, shmtest.Soon(t, done, "interrupted Wait"))
	}
	for _, e := range sleepers {
		require.NoError(t, e.Close())
	}
	for range waiters / 2 {
		require.ErrorIs(t, shmtest.Soon(t, done, "Wait during Close"), os.ErrClosed)
	}
	assert.Len(t, shmtest.FDs(t), fds)
	assert.LessOrEqual(t, countThreads(t), 40)
}

func countThreads(t *testing.T) int {
	t.Helper()
	tasks, err := os.ReadDir("/proc/self/task")
	require.NoError(t, err)
	return len(tasks)
}

func TestNewEventfdReportsWhatFails(t *testing.T) {
	before := shmtest.FDs(t)
	regular := func() (int, error) {
		f, err := os.Open(os.DevNull) // cannot be polled
		if err != nil {
			return -1, err
		}
		defer f.Close()
		return sys.EventfdDup(int(f.Fd()))
	}
	for _, tt := range []struct {
		name   string
		create func() (int, error)
		want   string
		is     error
	}{
		{"no such call", func() (int, error) { return -1, sys.ENOSYS }, "make eventfd", errors.ErrUnsupported},
		{"no descriptor left", func() (int, error) { return -1, sys.EMFILE }, "make eventfd", sys.EMFILE},
		{"a file that the poller refuses", regular, "register eventfd with the poller", os.ErrNoDeadline},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e, err := sem.NewEventfd(&sys.Table{Eventfd: tt.create})
			require.ErrorIs(t, err, tt.is)
			require.ErrorContains(t, err, tt.want)
			assert.Nil(t, e)
		})
	}
	assert.Equal(t, before, shmtest.FDs(t))
}

func TestEventfdDup(t *testing.T) {
	e, err := sem.NewEventfd(nil)
	require.NoError(t, err)
	fd, err := e.Dup()
	require.NoError(t, err)
	assert.NotEqual(t, e.FD(), fd)
	require.NoError(t, sys.Close(fd))
	require.NoError(t, e.Close())
	_, err = e.Dup()
	require.ErrorIs(t, err, os.ErrClosed)
}

func TestDoorbellRefusesOtherDescriptors(t *testing.T) {
	before := shmtest.FDs(t)
	dup := func(f *os.File) int {
		fd, err := sys.EventfdDup(int(f.Fd()))
		require.NoError(t, err)
		return fd
	}
	r, w, err := os.Pipe()
	require.NoError(t, err)
	null, err := os.Open(os.DevNull)
	require.NoError(t, err)
	named, err := os.Create(t.TempDir() + "/anon_inode:[eventfd]")
	require.NoError(t, err)
	var table *sys.Table
	memfd, err := table.CreateMemfd("shmwire:no-eventfd")
	require.NoError(t, err)
	for _, tt := range []struct {
		name string
		fd   int
	}{
		{"pipe", dup(w)}, {"device", dup(null)}, {"file of that name", dup(named)}, {"memfd", memfd},
	} {
		t.Run(tt.name, func(t *testing.T) {
			kind, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", tt.fd))
			require.NoError(t, err)
			bell, err := sem.NewEventfdDoorbell(tt.fd)
			assert.Nil(t, bell)
			var wrong *sem.DescriptorError
			require.ErrorAs(t, err, &wrong)
			assert.Equal(t, kind, wrong.Got)
			assert.ErrorContains(t, err, kind)
		})
	}
	for _, f := range []*os.File{r, w, null, named} {
		require.NoError(t, f.Close())
	}
	assert.Equal(t, before, shmtest.FDs(t), "what is refused is closed")
}

func TestDoorbellOfNoDescriptor(t *testing.T) {
	for _, fd := range []int{-1, 1 << 30} {
		bell, err := sem.NewEventfdDoorbell(fd)
		assert.Nil(t, bell)
		require.ErrorIs(t, err, os.ErrNotExist)
	}
}

func TestDoorbellClosesDuringRings(t *testing.T) {
	before := shmtest.FDs(t)
	for range 50 {
		e, err := sem.NewEventfd(nil)
		require.NoError(t, err)
		fd, err := e.Dup()
		require.NoError(t, err)
		bell, err := sem.NewEventfdDoorbell(fd)
		require.NoError(t, err)
		var ringers sync.WaitGroup
		started := make(chan struct{}, 4)
		for range cap(started) {
			ringers.Go(func() {
				for n := range 200 {
					bell.Ring()
					if n == 0 {
						started <- struct{}{}
					}
				}
			})
		}
		for range cap(started) {
			shmtest.Soon(t, started, "first ring")
		}
		require.NoError(t, bell.Close())
		require.NoError(t, bell.Close())
		ringers.Wait()
		bell.Ring() // does nothing, to nobody's descriptor
		require.NoError(t, e.Close())
	}
	assert.Equal(t, before, shmtest.FDs(t))
}

// An Interrupt costs the peer's counter nothing and takes no ring away.
func TestEventfdInterruptLeavesTheCounterAlone(t *testing.T) {
	e, err := sem.NewEventfd(nil)
	require.NoError(t, err)
	closeAtEnd(t, e)
	for range 3 {
		v := e.Load()
		e.Interrupt()
		taken, err := sys.EventfdDrain(e.FD())
		require.NoError(t, err)
		require.Zero(t, taken)
		require.NoError(t, shmtest.Soon(t, startWait(e, v, -1), "Wait after an interrupt"))
	}
	v := e.Load()
	e.Interrupt()
	require.NoError(t, sys.EventfdRing(e.FD()))
	require.NoError(t, shmtest.Soon(t, startWait(e, v, -1), "Wait after an interrupt and a ring"))
	require.NoError(t, shmtest.Soon(t, startWait(e, e.Load(), -1), "Wait for the ring"))
	idle := startWait(e, e.Load(), -1)
	shmtest.StillBlocked(t, idle, "a Wait with nothing left to end it")
	e.Interrupt()
	require.NoError(t, shmtest.Soon(t, idle, "Wait under an interrupt"))
}

// A closed doorbell leaves the number of its descriptor to whoever has it now.
func TestClosedDoorbellRingsNobody(t *testing.T) {
	e, err := sem.NewEventfd(nil)
	require.NoError(t, err)
	closeAtEnd(t, e)
	fd, err := e.Dup()
	require.NoError(t, err)
	bell, err := sem.NewEventfdDoorbell(fd)
	require.NoError(t, err)
	require.NoError(t, bell.Close())
	again, err := e.Dup()
	require.NoError(t, err)
	require.Equal(t, fd, again, "the kernel gives the lowest free number")
	bell.Ring()
	require.NoError(t, bell.Close())
	rings, err := sys.EventfdDrain(again)
	require.NoError(t, err)
	assert.Zero(t, rings)
	require.NoError(t, sys.Close(again), "still open")
}
