package sys

import (
	"errors"
	"io/fs"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// ReadProcess returns what the kernel tells of the process pid of our own PID namespace. The error is fs.ErrNotExist if
// there is none, and fs.ErrPermission if there is one that /proc hides from us.
func ReadProcess(pid int) (Process, error) {
	text, err := os.ReadFile(statPath(strconv.Itoa(pid)))
	if errors.Is(err, fs.ErrNotExist) && !errors.Is(unix.Kill(pid, 0), unix.ESRCH) {
		return Process{}, os.NewSyscallError("open", EACCES) // mounted with hidepid: it is there, and not ours
	}
	if err != nil {
		return Process{}, err
	}
	return parseProcess(text)
}

// BootTime returns when the machine started, to the second.
func BootTime() (time.Time, error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return time.Time{}, err
	}
	return parseBootTime(text)
}
