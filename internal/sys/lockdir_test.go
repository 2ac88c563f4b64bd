//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package sys_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shmwire/shmwire/internal/shmtest"
	"github.com/shmwire/shmwire/internal/sys"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestLockDir(t *testing.T) {
	before := shmtest.FDs(t)
	dir := t.TempDir()
	unlock, err := sys.LockDir(dir, 0)
	require.NoError(t, err)

	_, err = sys.LockDir(dir, 10*time.Millisecond)
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	require.EqualError(t, err, "flock "+dir+": i/o timeout")
	other, err := sys.LockDir(t.TempDir(), 0)
	require.NoError(t, err, "another directory")
	other()

	waiting := make(chan func(), 1)
	go func() {
		unlock, err := sys.LockDir(dir, time.Hour)
		if err == nil {
			waiting <- unlock
		}
	}()
	shmtest.StillBlocked(t, waiting, "the second")
	unlock()
	shmtest.Soon(t, waiting, "the second")()

	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Empty(t, entries, "it leaves a file")
	assert.Equal(t, before, shmtest.FDs(t))
}

func TestLockDirExcludes(t *testing.T) {
	dir := t.TempDir()
	var inside, errs atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 10 {
				unlock, err := sys.LockDir(dir, time.Minute)
				if err != nil || inside.Add(1) != 1 {
					errs.Add(1)
					return
				}
				inside.Add(-1)
				unlock()
			}
		})
	}
	wg.Wait()
	assert.Zero(t, errs.Load())
}

func TestLockDirErrors(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	_, err := sys.LockDir(missing, time.Hour)
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.ErrorContains(t, err, missing)
}
