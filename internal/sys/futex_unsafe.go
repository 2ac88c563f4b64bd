//go:build linux

package sys

import (
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Operations of futex(2). FUTEX_PRIVATE_FLAG is left out on purpose: the sleepers are in other processes.
const (
	opFutexWait = 0
	opFutexWake = 1
)

// futexWait is one FUTEX_WAIT with a relative timeout (nil = none). Syscall6, never RawSyscall6: the runtime must know
// that this thread sleeps, or the next garbage collection waits for it.
func futexWait(word *atomic.Uint32, value uint32, limit *unix.Timespec) unix.Errno {
	_, _, errno := unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(word)), opFutexWait, uintptr(value),
		uintptr(unsafe.Pointer(limit)), 0, 0)
	return errno
}

// futexWake is one FUTEX_WAKE.
func futexWake(word *atomic.Uint32, n int) (int, unix.Errno) {
	woken, _, errno := unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(word)), opFutexWake, uintptr(n), 0, 0, 0)
	return int(woken), errno
}
