package shmseg_test

import (
	"errors"
	"math"
	"os"
	"testing"

	"github.com/shmwire/shmwire/internal/shmtest"
	"github.com/shmwire/shmwire/internal/sys"
	"github.com/shmwire/shmwire/shmseg"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// failing returns a table in which one call fails with errno.
func failing(call string, errno error) *sys.Table {
	t := &sys.Table{}
	switch call {
	case "memfd_create":
		t.MemfdCreate = func(string, int) (int, error) { return -1, errno }
	case "ftruncate":
		t.Ftruncate = func(int, int64) error { return errno }
	case "madvise":
		t.Populate = func([]byte) error { return errno }
	case "fallocate":
		t.Populate = func([]byte) error { return sys.EINVAL }
		t.Fallocate = func(int, int64, int64) error { return errno }
	case "fcntl(F_ADD_SEALS)":
		t.AddSeals = func(int, int) error { return errno }
	case "fstat":
		t.Fstat = func(int) (sys.Stat, error) { return sys.Stat{}, errno }
	default:
		panic("no such call: " + call)
	}
	return t
}

func TestEveryFailingStepOfCreateLeavesNothing(t *testing.T) {
	for _, call := range []string{"memfd_create", "ftruncate", "madvise", "fallocate", "fcntl(F_ADD_SEALS)", "fstat"} {
		t.Run(call, func(t *testing.T) {
			leavesNothing(t, func() {
				s, err := shmseg.CreateMemfd(shmseg.MemfdOptions{
					Regions: []int{4000}, Prefault: true, Sys: failing(call, sys.ENOMEM),
				})
				assert.Nil(t, s)
				var named *os.SyscallError
				require.ErrorAs(t, err, &named)
				assert.Equal(t, call, named.Syscall)
				assert.ErrorIs(t, err, sys.ENOMEM)
				assert.NotErrorIs(t, err, errors.ErrUnsupported)
			})
		})
	}
}

// Address space is what runs out here: the segments are sparse.
func TestFailingMapLeavesNothing(t *testing.T) {
	const size = math.MaxInt/2 + 1 // on 32-bit processors the first may fit
	leavesNothing(t, func() {
		var segments []*shmseg.Segment
		var failed error
		for range 128 {
			fds, maps := shmtest.FDs(t), mappings(t)
			s, err := shmseg.CreateMemfd(shmseg.MemfdOptions{Regions: []int{size}})
			if failed = err; err != nil {
				assert.Equal(t, fds, shmtest.FDs(t))
				assert.Equal(t, maps, mappings(t))
				break
			}
			segments = append(segments, s)
		}
		var named *os.SyscallError
		require.ErrorAs(t, failed, &named)
		assert.Equal(t, "mmap", named.Syscall)
		assert.ErrorIs(t, failed, sys.ENOMEM)
		for _, s := range segments {
			assert.NoError(t, s.Detach())
		}
	})
}

// Who cannot have segments falls back to something else; who only has too little of something reports it.
func TestWhatCountsAsUnsupported(t *testing.T) {
	tests := []struct {
		errno       error
		unsupported bool
	}{
		{sys.ENOSYS, true},
		{sys.EINVAL, true},
		{sys.EPERM, true},
		{sys.EACCES, true},
		{sys.EMFILE, false},
		{sys.ENFILE, false},
		{sys.ENOMEM, false},
	}
	for _, call := range []string{"memfd_create", "fcntl(F_ADD_SEALS)"} {
		for _, tt := range tests {
			t.Run(call+"/"+tt.errno.Error(), func(t *testing.T) {
				leavesNothing(t, func() {
					_, err := shmseg.CreateMemfd(shmseg.MemfdOptions{Regions: []int{1}, Sys: failing(call, tt.errno)})
					require.ErrorIs(t, err, tt.errno)
					assert.ErrorContains(t, err, call)
					assert.Equal(t, tt.unsupported, errors.Is(err, errors.ErrUnsupported), "%v", err)
				})
			})
		}
	}
}

func TestSizeThatChangedBeforeTheSeals(t *testing.T) {
	var real *sys.Table
	table := &sys.Table{AddSeals: func(fd, seals int) error {
		return errors.Join(real.Truncate(fd, 1<<20), real.Seal(fd, seals)) // as somebody with /proc/PID/fd could
	}}
	leavesNothing(t, func() {
		_, err := shmseg.CreateMemfd(shmseg.MemfdOptions{Regions: []int{1}, Sys: table})
		assert.ErrorContains(t, err, "sealed segment has 1048576 bytes, want 8192")
	})
}

func TestInterruptedCallsAreRepeated(t *testing.T) {
	var real *sys.Table
	interrupted := map[string]int{}
	once := func(call string) error {
		interrupted[call]++
		if interrupted[call] == 1 {
			return sys.EINTR
		}
		return nil
	}
	table := &sys.Table{
		Ftruncate: func(fd int, size int64) error { return errors.Join(once("ftruncate"), real.Truncate(fd, size)) },
		Populate:  func(b []byte) error { return errors.Join(once("madvise"), real.Prefault(b)) },
	}
	s := mustCreate(t, shmseg.MemfdOptions{Regions: []int{1}, Prefault: true, Sys: table})
	assert.Len(t, s.Region(0), 1)
	assert.Equal(t, map[string]int{"ftruncate": 2, "madvise": 2}, interrupted)
}
