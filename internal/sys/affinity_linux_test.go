package sys_test

import (
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/shmwire/shmwire/internal/sys"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// allowedLists returns, for every thread of this process, the processors that it may run on, as the kernel writes them.
func allowedLists(t *testing.T) []string {
	t.Helper()
	threads, err := os.ReadDir("/proc/self/task")
	require.NoError(t, err)
	var lists []string
	for _, thread := range threads {
		status, err := os.ReadFile("/proc/self/task/" + thread.Name() + "/status")
		if err != nil {
			continue // it has ended
		}
		_, list, _ := strings.Cut(string(status), "Cpus_allowed_list:")
		list, _, _ = strings.Cut(list, "\n")
		lists = append(lists, strings.TrimSpace(list))
	}
	require.NotEmpty(t, lists)
	return lists
}

func TestPinProcess(t *testing.T) {
	cpus, err := sys.AllowedCPUs()
	require.NoError(t, err)
	require.Len(t, cpus, runtime.NumCPU())

	last := cpus[len(cpus)-1:]
	require.NoError(t, sys.PinProcess(last...))
	now, err := sys.AllowedCPUs()
	assert.NoError(t, err)
	assert.Equal(t, last, now)
	for _, list := range allowedLists(t) {
		assert.NotContains(t, list, ",")
		assert.NotContains(t, list, "-")
	}

	require.NoError(t, sys.PinProcess(cpus...))
	now, err = sys.AllowedCPUs()
	assert.NoError(t, err)
	assert.Equal(t, cpus, now)
	lists := allowedLists(t)
	for _, list := range lists { // not compared with before: another test may have left the main thread on one of them
		assert.Equal(t, lists[0], list)
	}
}

func TestPinThread(t *testing.T) {
	cpus, err := sys.AllowedCPUs()
	require.NoError(t, err)
	pinned := make(chan []int, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		assert.NoError(t, sys.PinThread(cpus[0]))
		assert.NoError(t, sys.YieldToAll())
		now, err := sys.AllowedCPUs()
		assert.NoError(t, err)
		pinned <- now
	}()
	assert.Equal(t, cpus[:1], <-pinned)
}

func TestPinToNoProcessor(t *testing.T) {
	assert.ErrorIs(t, sys.PinThread(), sys.EINVAL)
	assert.ErrorIs(t, sys.PinProcess(), sys.EINVAL)
}
