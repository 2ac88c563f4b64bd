package sys

import (
	"math"

	"golang.org/x/sys/unix"
)

func memfdCreate(name string, flags int) (int, error) { return unix.MemfdCreate(name, flags) }

func ftruncate(fd int, size int64) error { return unix.Ftruncate(fd, size) }

func fallocate(fd int, at, size int64) error { return unix.Fallocate(fd, 0, at, size) }

func populate(b []byte) error { return unix.Madvise(b, unix.MADV_POPULATE_WRITE) }

func addSeals(fd, seals int) error {
	_, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals)
	return err
}

func getSeals(fd int) (int, error) { return unix.FcntlInt(uintptr(fd), unix.F_GET_SEALS, 0) }

func fstat(fd int) (Stat, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return Stat{}, err
	}
	return statOf(&st), nil
}

// statOf takes over what the module looks at. The conversions are needed: the fields differ in width between
// architectures.
func statOf(st *unix.Stat_t) Stat {
	return Stat{
		Dev: uint64(st.Dev), Ino: st.Ino, Nlink: uint64(st.Nlink),
		Size: st.Size, Mode: st.Mode, UID: st.Uid,
	}
}

func fstatfs(fd int) (uint32, error) {
	var st unix.Statfs_t
	if err := unix.Fstatfs(fd, &st); err != nil {
		return 0, err
	}
	return uint32(uint64(st.Type) & math.MaxUint32), nil // a signed 32-bit field on some architectures
}

// Close closes fd. It is not repeated after a signal: on Linux the descriptor is gone whatever close says, and the
// number may belong to somebody else by now.
func Close(fd int) error {
	if err := unix.Close(fd); err != nil {
		return wrap("close", err)
	}
	return nil
}
