package shmtest_test

import (
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// systemLeaks returns the cases that only Linux lets us see.
func systemLeaks() map[string]leakCase {
	return map[string]leakCase{
		"file":            {make: leakFile, want: "file descriptor"},
		"socket":          {make: leakSocket, want: "file descriptor"},
		"mapping":         {make: leakMapping, want: "mapping"},
		"segment":         {make: leakSegment("shmwire-segment"), want: "segment"},
		"half-a-segment":  {make: leakSegment(".shmwire-segment"), want: "segment"},
		"others'-segment": {prepare: holdSegment, make: showSegment},
	}
}

// kept keeps leaked files from the garbage collector, which would close them.
var kept []any

func leakFile(t *testing.T, dir string) {
	f, err := os.Create(filepath.Join(dir, "leaked"))
	require.NoError(t, err)
	kept = append(kept, f)
}

func leakSocket(t *testing.T, _ string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	kept = append(kept, l)
}

func leakMapping(t *testing.T, _ string) {
	f, err := os.Create(filepath.Join(t.TempDir(), "shmwire-segment"))
	require.NoError(t, err)
	require.NoError(t, f.Truncate(4096))
	_, err = syscall.Mmap(int(f.Fd()), 0, 4096, syscall.PROT_READ, syscall.MAP_SHARED)
	require.NoError(t, err)
	require.NoError(t, f.Close())
}

func leakSegment(name string) func(t *testing.T, dir string) {
	return func(t *testing.T, dir string) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), nil, 0o600))
	}
}

// holdSegment holds a file open that showSegment turns into a segment of another process.
func holdSegment(t *testing.T, dir string) {
	f, err := os.Create(filepath.Join(dir, "hidden"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, f.Close()) })
}

func showSegment(t *testing.T, dir string) {
	require.NoError(t, os.Rename(filepath.Join(dir, "hidden"), filepath.Join(dir, "shmwire-segment")))
}
