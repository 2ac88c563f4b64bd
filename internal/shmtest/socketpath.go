package shmtest

import (
	"os"
	"path/filepath"
	"testing"
)

// maxSocketPath is the longest path that every system takes for a Unix socket (macOS: 104 bytes with the NUL).
const maxSocketPath = 103

// SocketPath returns a path for a Unix socket, short enough for every system, in a directory of its own that is removed
// when the test ends. Nothing exists at the path. (t.TempDir contains the test's name and may be too long.)
func SocketPath(t testing.TB) string {
	t.Helper()
	path := filepath.Join(socketDir(t, ""), "s")
	if len(path) > maxSocketPath {
		path = filepath.Join(socketDir(t, "/tmp"), "s")
	}
	return path
}

func socketDir(t testing.TB, parent string) string {
	t.Helper()
	dir, err := os.MkdirTemp(parent, "sw")
	if err != nil {
		t.Fatalf("make directory for socket: %v", err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("remove directory of socket: %v", err)
		}
	})
	return dir
}
