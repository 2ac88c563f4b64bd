package sys_test

import (
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/shmwire/shmwire/internal/shmtest"
	"github.com/shmwire/shmwire/internal/sys"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestListenUnix(t *testing.T) {
	before := shmtest.FDs(t)
	path := shmtest.SocketPath(t)
	ln, err := sys.ListenUnix(path)
	require.NoError(t, err)
	assert.Equal(t, path, ln.Addr().String())
	st, err := os.Lstat(path)
	require.NoError(t, err)
	assert.Equal(t, fs.ModeSocket|0o600, st.Mode())

	theirs, err := net.Dial("unix", path)
	require.NoError(t, err)
	ours, err := ln.AcceptUnix()
	require.NoError(t, err)
	require.NoError(t, theirs.Close())
	require.NoError(t, ours.Close())
	require.NoError(t, ln.Close())
	assert.FileExists(t, path, "the file is its owner's to remove")
	assert.Equal(t, before, shmtest.FDs(t))
}

func TestListenUnixErrors(t *testing.T) {
	before := shmtest.FDs(t)
	path := shmtest.SocketPath(t)
	require.NoError(t, os.WriteFile(path, []byte("precious"), 0o640))
	for _, tt := range []struct {
		name, path string
		want       error
	}{
		{"taken", path, sys.EADDRINUSE},
		{"no directory", filepath.Join(path+"2", "s"), os.ErrNotExist},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := sys.ListenUnix(tt.path)
			require.ErrorIs(t, err, tt.want)
			var se *os.SyscallError
			require.ErrorAs(t, err, &se)
			assert.Equal(t, "bind", se.Syscall)
		})
	}
	st, err := os.Lstat(path)
	require.NoError(t, err)
	assert.Equal(t, fs.FileMode(0o640), st.Mode(), "a file that was in the way")
	assert.Equal(t, before, shmtest.FDs(t))
}
