//go:build !linux

package sys

import "time"

// ReadProcess returns an error: nothing here tells of processes in a way that this module knows.
func ReadProcess(int) (Process, error) { return Process{}, unsupported("status of a process") }

// BootTime returns an error: nothing here tells it in a way that this module knows.
func BootTime() (time.Time, error) { return time.Time{}, unsupported("boot time") }
