package sys

import "fmt"

// AtCwd, in place of a directory, means that a name is a path. It is the same on every Linux.
const AtCwd = -100

// OpenDir opens the directory path for use with the calls on names below; it cannot be listed through the descriptor.
// The caller owns it.
func (t *Table) OpenDir(path string) (int, error) {
	call := openDir
	if t != nil && t.Open != nil {
		call = t.Open
	}
	return value("open", func() (int, error) { return call(path) })
}

// CreateAt makes the file name in dir, which must not exist in any form ([EEXIST]), and opens it for reading and
// writing, closed on exec. It is its owner's alone, or not even that if the umask says so. The caller owns the
// descriptor.
func (t *Table) CreateAt(dir int, name string) (int, error) {
	call := createAt
	if t != nil && t.OpenatNew != nil {
		call = t.OpenatNew
	}
	return value("openat", func() (int, error) { return call(dir, name) })
}

// OpenAt opens the file name in dir, closed on exec, without waiting for whoever is at the other end of a FIFO. A
// symbolic link gives [ELOOP]. The caller owns the descriptor.
func (t *Table) OpenAt(dir int, name string, readOnly bool) (int, error) {
	call := openAt
	if t != nil && t.Openat != nil {
		call = t.Openat
	}
	return value("openat", func() (int, error) { return call(dir, name, readOnly) })
}

// StatAt returns what fstatat tells of name in dir; a symbolic link is not followed.
func (t *Table) StatAt(dir int, name string) (Stat, error) {
	call := statAt
	if t != nil && t.Fstatat != nil {
		call = t.Fstatat
	}
	return value("fstatat", func() (Stat, error) { return call(dir, name) })
}

// RenameAt gives the file from in dir the name to, unless something has that name ([EEXIST]). It is [EINVAL] or
// [ENOSYS] where a file system or kernel cannot do both at once.
func (t *Table) RenameAt(dir int, from, to string) error {
	call := renameAt
	if t != nil && t.Renameat2 != nil {
		call = t.Renameat2
	}
	return plain("renameat2", func() error { return call(dir, from, to) })
}

// LinkAt gives the file from in dir the second name to, unless something has that name ([EEXIST]).
func (t *Table) LinkAt(dir int, from, to string) error {
	call := linkAt
	if t != nil && t.Linkat != nil {
		call = t.Linkat
	}
	return plain("linkat", func() error { return call(dir, from, to) })
}

// UnlinkAt removes name from dir, which may not be a directory's.
func (t *Table) UnlinkAt(dir int, name string) error {
	call := unlinkAt
	if t != nil && t.Unlinkat != nil {
		call = t.Unlinkat
	}
	return plain("unlinkat", func() error { return call(dir, name) })
}

// Chmod sets the permission bits of the file fd, whatever the umask.
func (t *Table) Chmod(fd int, mode uint32) error {
	call := fchmod
	if t != nil && t.Fchmod != nil {
		call = t.Fchmod
	}
	return plain("fchmod", func() error { return call(fd, mode) })
}

// LockByte takes a lock on one byte of the file fd, which need not exist and does not change. It belongs to the open
// file description, not to this process: the kernel gives it back when the last descriptor and mapping made of that
// description are gone, however their processes end. It does not wait: [EAGAIN] says that another description holds a
// lock that does not go with this one. An exclusive lock needs a descriptor that can write.
func (t *Table) LockByte(fd int, exclusive bool, at int64) error {
	call := lockByte
	if t != nil && t.SetLock != nil {
		call = t.SetLock
	}
	return plain("fcntl(F_OFD_SETLK)", func() error { return call(fd, exclusive, at) })
}

// ReadAt reads up to len(b) bytes from byte at of the file fd; fewer if the file ends before.
func (t *Table) ReadAt(fd int, b []byte, at int64) (int, error) {
	call := pread
	if t != nil && t.Pread != nil {
		call = t.Pread
	}
	return value("pread", func() (int, error) { return call(fd, b, at) })
}

// FileSystemName returns the name of the file system with this magic number, as people know it.
func FileSystemName(magic uint32) string {
	switch magic {
	case TMPFS_MAGIC:
		return "tmpfs"
	case HUGETLBFS_MAGIC:
		return "hugetlbfs"
	case 0xef53:
		return "ext4"
	case 0x58465342:
		return "xfs"
	case 0x9123683e:
		return "btrfs"
	case 0x2fc12fc1:
		return "zfs"
	case 0x794c7630:
		return "overlayfs"
	case 0x858458f6:
		return "ramfs"
	case 0x6969:
		return "nfs"
	case 0xff534d42:
		return "cifs"
	case 0x65735546:
		return "fuse"
	case 0x01021997:
		return "9p"
	case 0x9fa0:
		return "proc"
	case 0x62656572:
		return "sysfs"
	}
	return fmt.Sprintf("file system %#08x", magic)
}
