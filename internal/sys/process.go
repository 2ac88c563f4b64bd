package sys

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// ClocksPerSecond is the unit in which Linux tells processes' start times, on every architecture that Go runs on.
const ClocksPerSecond = 100

// Process is what the kernel tells everybody of a process.
type Process struct {
	Start  uint64 // clock ticks since the machine started
	Ended  bool   // it has ended and only waits to be reaped
	Kernel bool   // it is a thread of the kernel
}

// The fields of /proc/PID/stat that are used, counted from the first behind the command's name, which proc(5) calls 3.
const (
	statState   = 0
	statFlags   = 6
	statThreads = 17
	statStart   = 19

	flagKernelThread = 0x00200000
)

// parseProcess takes a [Process] out of the text of /proc/PID/stat; see parseStartTime for the name's traps.
func parseProcess(text []byte) (Process, error) {
	i := bytes.LastIndexByte(text, ')')
	if i < 0 {
		return Process{}, errors.New("parse process status: no command name")
	}
	fields := bytes.Fields(text[i+1:])
	if len(fields) <= statStart {
		return Process{}, fmt.Errorf("parse process status: %d fields behind the name, want more than %d", len(fields), statStart)
	}
	number := func(i int) uint64 {
		n, _ := strconv.ParseUint(string(fields[i]), 10, 64) // the kernel's own text; 0 is what not to know looks like
		return n
	}
	state := fields[statState][0]
	return Process{
		Start: number(statStart),
		// The first thread of a process may end before the others: it is a zombie then, and the process lives.
		Ended:  state == 'X' || state == 'x' || state == 'Z' && number(statThreads) <= 1,
		Kernel: number(statFlags)&flagKernelThread != 0,
	}, nil
}

// parseBootTime takes the line "btime SECONDS" out of the text of /proc/stat.
func parseBootTime(text []byte) (time.Time, error) {
	for line := range bytes.Lines(text) {
		if s, ok := bytes.CutPrefix(line, []byte("btime ")); ok {
			seconds, err := strconv.ParseInt(string(bytes.TrimSpace(s)), 10, 64)
			if err != nil {
				return time.Time{}, fmt.Errorf("parse boot time: %w", err)
			}
			return time.Unix(seconds, 0).UTC(), nil
		}
	}
	return time.Time{}, errors.New("parse boot time: no line btime")
}
