package shmtest

import (
	"fmt"
	"io"
	"os"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// settle is how long something may stay after the tests before it counts as left behind: goroutines end
// asynchronously, the kernel tears a dead child's mappings down after the child is reaped, and a connection over the
// socket that was closed while its peer did not read lingers for five seconds.
const settle = 7 * time.Second

// segmentName is the mark that every segment of this module carries in its name.
const segmentName = "shmwire"

// FDs returns the open file descriptors of this process with what each refers to, as the kernel names it
// ("socket:[4711]", "/memfd:shmwire:x (deleted)"). It is nil on systems other than Linux.
func FDs(t testing.TB) map[int]string {
	t.Helper()
	fds, err := openFDs()
	if err != nil {
		t.Fatalf("list file descriptors: %v", err)
	}
	return fds
}

// snapshot is what a process holds at one moment. Each thing is a line for the report.
type snapshot struct {
	fds      map[int]string
	mappings []string
	segments []string
	others   goleak.Option // goroutines that ran already
}

func takeSnapshot() snapshot {
	warmPoller()
	s := snapshot{others: goleak.IgnoreCurrent()}
	// An error here shows again, and is reported, after the tests.
	s.fds, _ = openFDs()
	s.mappings, _ = ourMappings()
	s.segments, _ = ourSegments()
	return s
}

// warmPoller makes the runtime open the descriptors of its network poller, so that they are in the first snapshot.
func warmPoller() {
	r, w, err := os.Pipe()
	if err != nil {
		return
	}
	_ = r.SetDeadline(time.Now())
	_ = r.Close()
	_ = w.Close()
}

// report writes to out what is there now and was not in s, and returns the exit status.
func (s snapshot) report(out io.Writer) int {
	var leaks []string
	if poll(settle, func() bool {
		leaks = s.leaks()
		return len(leaks) == 0
	}) {
		return 0
	}
	fmt.Fprintln(out, "shmtest: the tests passed but left behind:")
	for _, l := range leaks {
		fmt.Fprintln(out, "  "+l)
	}
	return 1
}

func (s snapshot) leaks() []string {
	var leaks []string
	add := func(kind string, err error, now, before []string) {
		if err != nil {
			leaks = append(leaks, fmt.Sprintf("%s unknown: %v", kind, err))
		}
		for _, thing := range now {
			if !slices.Contains(before, thing) {
				leaks = append(leaks, kind+" "+thing)
			}
		}
	}
	fds, err := openFDs()
	add("file descriptor", err, fdLines(fds), fdLines(s.fds))
	mappings, err := ourMappings()
	add("mapping", err, mappings, s.mappings)
	segments, err := ourSegments()
	add("segment", err, abandoned(segments), s.segments)
	if err := goleak.Find(s.others); err != nil {
		leaks = append(leaks, "goroutine: "+err.Error())
	}
	return leaks
}

// fdLines leaves out what the runtime and the standard library open for themselves and keep.
func fdLines(fds map[int]string) []string {
	var lines []string
	for fd, target := range fds {
		if target != os.DevNull && target != "/dev/urandom" && target != "anon_inode:[eventpoll]" {
			lines = append(lines, fmt.Sprintf("%d: %s", fd, target))
		}
	}
	slices.Sort(lines)
	return lines
}
