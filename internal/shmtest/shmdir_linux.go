package shmtest

import (
	"os"
	"testing"
)

// ShmDir returns a directory on a tmpfs that is the test's own. What is left in it when the test ends is an error, and
// removed with it. It is not called shmwire-anything: tests of other packages would take it for a segment left behind.
func ShmDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "segtest-")
	if err != nil {
		t.Fatalf("make directory for segments: %v", err)
	}
	t.Cleanup(func() {
		left, err := os.ReadDir(dir)
		if err != nil || len(left) > 0 {
			t.Errorf("left in %s: %v, %v", dir, left, err)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("remove directory of segments: %v", err)
		}
	})
	return dir
}
