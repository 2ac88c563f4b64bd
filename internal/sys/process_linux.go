package sys

import (
	"os"
	"strconv"
	"time"
)

// ReadProcess returns what the kernel tells of the process pid of our own PID namespace. The error is fs.ErrNotExist if
// there is none.
func ReadProcess(pid int) (Process, error) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
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
