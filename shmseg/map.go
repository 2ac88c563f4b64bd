package shmseg

import (
	"os"

	"github.com/edsrzf/mmap-go"
)

// mapFile maps the first size bytes of f, shared with everybody else who maps them. The mapping does not need f to
// stay open. The caller gives it back to unmap, whole.
func mapFile(f *os.File, size int, writable bool) ([]byte, error) {
	protection := mmap.RDONLY
	if writable {
		protection = mmap.RDWR
	}
	b, err := mmap.MapRegion(f, size, protection, 0, 0)
	if err != nil {
		return nil, os.NewSyscallError("mmap", err)
	}
	return b, nil
}

// unmap undoes mapFile.
func unmap(b []byte) error {
	m := mmap.MMap(b)
	return os.NewSyscallError("munmap", m.Unmap())
}
