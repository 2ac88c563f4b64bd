//go:build plan9 || wasip1

package sys

// Errno stands in for the kernel's number for an error where there are no such numbers, or not all of them. Nothing
// returns one there.
type Errno string

// Error returns the name of the errno.
func (e Errno) Error() string { return string(e) }

// The errnos that the rest of the module compares errors with.
const (
	E2BIG        = Errno("E2BIG")
	EACCES       = Errno("EACCES")
	EADDRINUSE   = Errno("EADDRINUSE")
	EAGAIN       = Errno("EAGAIN")
	EBADF        = Errno("EBADF")
	EBUSY        = Errno("EBUSY")
	ECONNREFUSED = Errno("ECONNREFUSED")
	ECONNRESET   = Errno("ECONNRESET")
	EEXIST       = Errno("EEXIST")
	EFAULT       = Errno("EFAULT")
	EFBIG        = Errno("EFBIG")
	EINTR        = Errno("EINTR")
	EINVAL       = Errno("EINVAL")
	EIO          = Errno("EIO")
	EISDIR       = Errno("EISDIR")
	ELOOP        = Errno("ELOOP")
	EMFILE       = Errno("EMFILE")
	EMSGSIZE     = Errno("EMSGSIZE")
	ENFILE       = Errno("ENFILE")
	ENOENT       = Errno("ENOENT")
	ENOMEM       = Errno("ENOMEM")
	ENOSPC       = Errno("ENOSPC")
	ENOSYS       = Errno("ENOSYS")
	ENOTSOCK     = Errno("ENOTSOCK")
	ENXIO        = Errno("ENXIO")
	EPERM        = Errno("EPERM")
	EPIPE        = Errno("EPIPE")
	ESRCH        = Errno("ESRCH")
	ETIMEDOUT    = Errno("ETIMEDOUT")
	ETOOMANYREFS = Errno("ETOOMANYREFS")
)
