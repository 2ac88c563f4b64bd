//go:build !linux

package sys

import (
	"errors"
	"fmt"
	"runtime"
)

func memfdCreate(string, int) (int, error) { return -1, unsupported("memfd_create") }

func ftruncate(int, int64) error { return unsupported("ftruncate of a memfd") }

func fallocate(int, int64, int64) error { return unsupported("fallocate") }

func populate([]byte) error { return unsupported("madvise(MADV_POPULATE_WRITE)") }

func addSeals(int, int) error { return unsupported("fcntl(F_ADD_SEALS)") }

func getSeals(int) (int, error) { return 0, unsupported("fcntl(F_GET_SEALS)") }

func fstat(int) (Stat, error) { return Stat{}, unsupported("fstat of a memfd") }

func fstatfs(int) (uint32, error) { return 0, unsupported("fstatfs of a memfd") }

// Close closes a descriptor made by this package, of which there are none here.
func Close(int) error { return unsupported("close of a memfd") }

// unsupported says that this operating system has no such call; it is errors.ErrUnsupported.
func unsupported(call string) error {
	return fmt.Errorf("%s on %s/%s: %w", call, runtime.GOOS, runtime.GOARCH, errors.ErrUnsupported)
}
