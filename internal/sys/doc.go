// Package sys makes the module's system calls. It is the only place where they are made and where an Errno becomes an
// error: every error that leaves it is an *os.SyscallError that names its call, or satisfies
// errors.Is(err, errors.ErrUnsupported) where the operating system has no such call.
//
// Calls interrupted by a signal are repeated here unless their documentation says otherwise. The portable part
// (tables, errnos, the shapes of answers) builds everywhere; each family of calls has a _linux.go file and an _other.go
// file with the same functions.
//
// [Table] is the seam through which tests make one side's system calls fail.
package sys
