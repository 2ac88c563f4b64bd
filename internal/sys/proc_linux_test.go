package sys_test

import (
	"io/fs"
	"os"
	"testing"

	"github.com/shmwire/shmwire/internal/sys"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSelf(t *testing.T) {
	id := sys.Self()
	assert.Equal(t, os.Getpid(), id.PID)
	assert.NotZero(t, id.BootID)
	assert.NotZero(t, id.PIDNamespace)
	start, err := sys.StartTime(os.Getpid())
	require.NoError(t, err)
	assert.NotZero(t, start)
	assert.Equal(t, start, id.Start)
	assert.Equal(t, id, sys.Self())
}

func TestStartTimeOfOthers(t *testing.T) {
	own, err := sys.StartTime(os.Getpid())
	require.NoError(t, err)
	parent, err := sys.StartTime(os.Getppid())
	require.NoError(t, err)
	assert.LessOrEqual(t, parent, own)

	_, err = sys.StartTime(1 << 30) // beyond the largest PID
	assert.ErrorIs(t, err, fs.ErrNotExist)
}
