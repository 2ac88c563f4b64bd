package sys_test

import (
	"io/fs"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/shmwire/shmwire/internal/shmtest"
	"github.com/shmwire/shmwire/internal/sys"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestReadProcess(t *testing.T) {
	p, err := sys.ReadProcess(os.Getpid())
	require.NoError(t, err)
	assert.Equal(t, sys.Process{Start: sys.Self().Start}, p)
	boot, err := sys.BootTime()
	require.NoError(t, err)
	age := time.Since(boot.Add(time.Duration(p.Start) * time.Second / sys.ClocksPerSecond))
	assert.Less(t, age.Abs(), time.Hour, "we have just been started")
	_, err = sys.ReadProcess(1 << 30)
	assert.ErrorIs(t, err, fs.ErrNotExist)
}

func TestReadProcessTellsAZombie(t *testing.T) {
	cmd := exec.Command("true")
	require.NoError(t, cmd.Start())
	shmtest.Eventually(t, "it has ended", func() bool {
		p, err := sys.ReadProcess(cmd.Process.Pid)
		require.NoError(t, err, "nobody has reaped it")
		return p.Ended
	})
	require.NoError(t, cmd.Wait())
}
