package shmtest

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
)

// Become makes a child the process of another user and group, without other groups, by executing the program anew: the
// role begins again, in the same process, and its call of Become returns nil at once. It needs root.
//
// Package syscall changes all threads of a process by interrupting each, which an emulator does not always survive. Here
// one thread changes, and by executing it becomes the only one.
func Become(uid int) error {
	if os.Geteuid() == uid {
		return nil
	}
	// The other user may be unable to reach the program by its path, but an open file has none.
	program, err := os.Open("/proc/self/exe")
	if err != nil {
		return err
	}
	if _, _, errno := syscall.RawSyscall(syscall.SYS_FCNTL, program.Fd(), syscall.F_SETFD, 0); errno != 0 {
		return os.NewSyscallError("fcntl", errno)
	}
	argv := append([]string{"/proc/self/fd/" + strconv.Itoa(int(program.Fd()))}, os.Args[1:]...)
	if runner := strings.Fields(os.Getenv(runnerEnv)); len(runner) > 0 {
		if runner[0], err = exec.LookPath(runner[0]); err != nil {
			return err
		}
		argv = append(runner, argv...)
	}
	runtime.LockOSThread()
	id := uintptr(uid)
	for _, call := range []struct {
		name   string
		number uintptr
		args   [3]uintptr
	}{
		{"setgroups", syscall.SYS_SETGROUPS, [3]uintptr{}},
		{"setresgid", syscall.SYS_SETRESGID, [3]uintptr{id, id, id}},
		{"setresuid", syscall.SYS_SETRESUID, [3]uintptr{id, id, id}},
	} {
		if _, _, errno := syscall.RawSyscall(call.number, call.args[0], call.args[1], call.args[2]); errno != 0 {
			return os.NewSyscallError(call.name, errno)
		}
	}
	return fmt.Errorf("execute the program as user %d: %w", uid, syscall.Exec(argv[0], argv, append(os.Environ(), roleEnv+"="+os.Getenv(playedEnv))))
}
