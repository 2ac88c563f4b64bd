//go:build !plan9 && !wasip1

package sys

import "syscall"

// Errno is the kernel's number for an error. It stays inside errors made by this package; compare with errors.Is.
type Errno = syscall.Errno

// The errnos that the rest of the module compares errors with.
const (
	E2BIG        = syscall.E2BIG
	EACCES       = syscall.EACCES
	EADDRINUSE   = syscall.EADDRINUSE
	EAGAIN       = syscall.EAGAIN
	EBADF        = syscall.EBADF
	EBUSY        = syscall.EBUSY
	ECONNREFUSED = syscall.ECONNREFUSED
	ECONNRESET   = syscall.ECONNRESET
	EEXIST       = syscall.EEXIST
	EFAULT       = syscall.EFAULT
	EFBIG        = syscall.EFBIG
	EINTR        = syscall.EINTR
	EINVAL       = syscall.EINVAL
	EIO          = syscall.EIO
	EISDIR       = syscall.EISDIR
	ELOOP        = syscall.ELOOP
	EMFILE       = syscall.EMFILE
	EMSGSIZE     = syscall.EMSGSIZE
	ENFILE       = syscall.ENFILE
	ENOENT       = syscall.ENOENT
	ENOMEM       = syscall.ENOMEM
	ENOSPC       = syscall.ENOSPC
	ENOSYS       = syscall.ENOSYS
	ENOTSOCK     = syscall.ENOTSOCK
	ENXIO        = syscall.ENXIO
	EPERM        = syscall.EPERM
	EPIPE        = syscall.EPIPE
	ESRCH        = syscall.ESRCH
	ETIMEDOUT    = syscall.ETIMEDOUT
	ETOOMANYREFS = syscall.ETOOMANYREFS
)
