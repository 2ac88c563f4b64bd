package sys

import (
	"errors"
	"os"
)

// Table holds the system calls that a test may want to see fail on one side of a connection alone. It is handed down
// through constructors, so there is no global to restore and two peers in one process can differ.
//
// A nil *Table, and a nil field of one, mean the real call. A field's function returns what the kernel would say, a
// bare Errno such as [ENOSYS]; the methods turn it into an *os.SyscallError and repeat a call that a signal
// interrupted. A Table must not change while it is in use; its methods may be called from any goroutine.
type Table struct {
	MemfdCreate func(name string, flags int) (fd int, err error)
	Ftruncate   func(fd int, size int64) error
	Fallocate   func(fd int, at, size int64) error
	Populate    func(b []byte) error
	AddSeals    func(fd, seals int) error
	GetSeals    func(fd int) (seals int, err error)
	Fstat       func(fd int) (Stat, error)
	Fstatfs     func(fd int) (magic uint32, err error)
	Eventfd     func() (fd int, err error)

	// The calls on files with names; dir is a descriptor or AtCwd.
	Open      func(dirPath string) (fd int, err error)
	OpenatNew func(dir int, name string) (fd int, err error)
	Openat    func(dir int, name string, readOnly bool) (fd int, err error)
	Fstatat   func(dir int, name string) (Stat, error)
	Renameat2 func(dir int, from, to string) error
	Linkat    func(dir int, from, to string) error
	Unlinkat  func(dir int, name string) error
	Fchmod    func(fd int, mode uint32) error
	SetLock   func(fd int, exclusive bool, at int64) error
	Pread     func(fd int, b []byte, at int64) (n int, err error)
}

// Stat is what fstat tells of a file.
type Stat struct {
	Dev, Ino, Nlink uint64
	Size            int64  // bytes
	Mode            uint32 // type and permission bits of st_mode
	UID             uint32 // of the owner
}

// The bits of Stat.Mode that hold the file type, and the type that a memfd has. They are the same on every Linux.
const (
	modeTypeMask = 0o170000
	modeRegular  = 0o100000
)

// IsRegular reports whether the file is a regular one.
func (s Stat) IsRegular() bool { return s.Mode&modeTypeMask == modeRegular }

// CreateMemfd makes an empty memfd that can be sealed, is closed on exec and, where the kernel knows how, can never
// be executed. It shows as "memfd:NAME" in /proc/PID/fd. The caller owns the descriptor.
func (t *Table) CreateMemfd(name string) (int, error) {
	fd, err := t.memfdCreate(name, MFD_CLOEXEC|MFD_ALLOW_SEALING|MFD_NOEXEC_SEAL)
	if errors.Is(err, EINVAL) { // before Linux 6.3: the kernel does not know NOEXEC_SEAL
		fd, err = t.memfdCreate(name, MFD_CLOEXEC|MFD_ALLOW_SEALING)
	}
	return fd, err
}

func (t *Table) memfdCreate(name string, flags int) (int, error) {
	call := memfdCreate
	if t != nil && t.MemfdCreate != nil {
		call = t.MemfdCreate
	}
	return value("memfd_create", func() (int, error) { return call(name, flags) })
}

// Truncate sets the size of the file fd to size bytes; new bytes are zero and take no memory until touched.
func (t *Table) Truncate(fd int, size int64) error {
	call := ftruncate
	if t != nil && t.Ftruncate != nil {
		call = t.Ftruncate
	}
	return plain("ftruncate", func() error { return call(fd, size) })
}

// Reserve gives the first size bytes of the file fd their memory, or says now that there is none. It does so piece by
// piece, because before Linux 6.18 a signal makes the kernel give up a piece and all its work on it: in one piece, a
// large file would never be done in a process with a busy timer.
func (t *Table) Reserve(fd int, size int64) error {
	call := fallocate
	if t != nil && t.Fallocate != nil {
		call = t.Fallocate
	}
	for at := int64(0); at < size; at += reservePiece {
		err := plain("fallocate", func() error { return call(fd, at, min(reservePiece, size-at)) })
		if err != nil {
			return err
		}
	}
	return nil
}

// reservePiece takes less than a millisecond and is a huge page where those are 2 MiB.
const reservePiece = 2 << 20

// Prefault maps every page of the writable mapping b in, so that no later access has to (MADV_POPULATE_WRITE).
// The error is [EINVAL] before Linux 5.14.
func (t *Table) Prefault(b []byte) error {
	call := populate
	if t != nil && t.Populate != nil {
		call = t.Populate
	}
	return plain("madvise", func() error { return call(b) })
}

// Seal adds seals to the memfd fd for ever.
func (t *Table) Seal(fd, seals int) error {
	call := addSeals
	if t != nil && t.AddSeals != nil {
		call = t.AddSeals
	}
	return plain("fcntl(F_ADD_SEALS)", func() error { return call(fd, seals) })
}

// Seals returns the seals of fd. What cannot be sealed (anything that is no memory file) gives [EINVAL], and no file
// system is asked, so this is the one question that is safe to put first to a descriptor from a stranger.
func (t *Table) Seals(fd int) (int, error) {
	call := getSeals
	if t != nil && t.GetSeals != nil {
		call = t.GetSeals
	}
	return value("fcntl(F_GET_SEALS)", func() (int, error) { return call(fd) })
}

// Stat returns what fstat tells of fd.
func (t *Table) Stat(fd int) (Stat, error) {
	call := fstat
	if t != nil && t.Fstat != nil {
		call = t.Fstat
	}
	return value("fstat", func() (Stat, error) { return call(fd) })
}

// FileSystem returns the magic number of the file system that holds fd, such as [TMPFS_MAGIC].
func (t *Table) FileSystem(fd int) (uint32, error) {
	call := fstatfs
	if t != nil && t.Fstatfs != nil {
		call = t.Fstatfs
	}
	return value("fstatfs", func() (uint32, error) { return call(fd) })
}

// NewEventfd makes an eventfd with the count 0 that is closed on exec and does not block. The caller owns it.
func (t *Table) NewEventfd() (int, error) {
	call := eventfdCreate
	if t != nil && t.Eventfd != nil {
		call = t.Eventfd
	}
	return value("eventfd", call)
}

// plain is [value] for calls that return no value.
func plain(name string, call func() error) error {
	_, err := value(name, func() (struct{}, error) { return struct{}{}, call() })
	return err
}

// value makes a call, again as long as signals interrupt it, and names it in the error.
func value[T any](name string, call func() (T, error)) (T, error) {
	for {
		v, err := call()
		if errors.Is(err, EINTR) {
			continue
		}
		return v, wrap(name, err)
	}
}

// wrap gives a bare Errno the name of its call. Other errors (already named, or "unsupported" where there is no such
// call) say enough themselves.
func wrap(name string, err error) error {
	if errno, ok := err.(Errno); ok {
		return os.NewSyscallError(name, errno)
	}
	return err
}
