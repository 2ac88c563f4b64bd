package sys_test

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/shmwire/shmwire/internal/sys"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestPinKeepsToOneFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(path, []byte("first"), 0o600))
	fd, err := sys.Pin(path)
	require.NoError(t, err)
	defer sys.Close(fd)
	require.NoError(t, os.Remove(path))
	require.NoError(t, os.WriteFile(path, []byte("another"), 0o600))

	st, err := sys.StatPinned(fd)
	require.NoError(t, err)
	want, err := (*sys.Table)(nil).Stat(fd)
	require.NoError(t, err)
	assert.Equal(t, want, st)
	assert.True(t, st.IsRegular())
	f, err := sys.OpenPinned(fd)
	require.NoError(t, err)
	defer f.Close()
	text, err := io.ReadAll(f)
	require.NoError(t, err)
	assert.Equal(t, "first", string(text))
}

// A FIFO without a writer would keep an ordinary open waiting.
func TestOpenReadOnlyDoesNotWait(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fifo")
	require.NoError(t, unix.Mkfifo(path, 0o600))
	f, err := sys.OpenReadOnly(path)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	require.NoError(t, os.Symlink(path, path+".link"))
	_, err = sys.OpenReadOnly(path + ".link")
	assert.ErrorIs(t, err, unix.ELOOP)
	_, err = sys.OpenReadOnly(path + ".missing")
	assert.ErrorIs(t, err, os.ErrNotExist)
	_, err = sys.Pin(path + ".missing")
	assert.ErrorIs(t, err, os.ErrNotExist)
}
