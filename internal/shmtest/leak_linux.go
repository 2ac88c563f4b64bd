package shmtest

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// shmDirEnv names the environment variable that overrides where named segments are looked for.
const shmDirEnv = "SHMTEST_SHMDIR"

func openFDs() (map[int]string, error) {
	const dir = "/proc/self/fd"
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	fds := make(map[int]string, len(entries))
	for _, e := range entries {
		fd, err := strconv.Atoi(e.Name())
		if err != nil {
			return nil, err
		}
		target, err := os.Readlink(filepath.Join(dir, e.Name()))
		if errors.Is(err, fs.ErrNotExist) {
			continue // the descriptor of the listing itself
		}
		if err != nil {
			return nil, err
		}
		fds[fd] = target
	}
	return fds, nil
}

// ourMappings returns the lines of /proc/self/maps that name a segment, without those of the test binary, which may
// itself be called shmwire.test.
func ourMappings() ([]string, error) {
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return nil, err
	}
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	var ours []string
	for line := range strings.Lines(string(maps)) {
		line = strings.TrimSuffix(line, "\n")
		if strings.Contains(line, segmentName) && !strings.HasSuffix(line, exe) {
			ours = append(ours, line)
		}
	}
	return ours, nil
}

// ourSegments returns the files of segments, those that are still being built under a temporary name included.
func ourSegments() ([]string, error) {
	dir := cmp.Or(os.Getenv(shmDirEnv), "/dev/shm")
	ready, err1 := filepath.Glob(filepath.Join(dir, segmentName+"*"))
	building, err2 := filepath.Glob(filepath.Join(dir, "."+segmentName+"*"))
	return append(ready, building...), errors.Join(err1, err2)
}

// abandoned leaves out the segments that another process holds open or mapped: packages are tested in parallel, and
// one package's tests are not blamed for the segments of another's.
func abandoned(segments []string) []string {
	if len(segments) == 0 {
		return nil
	}
	held := heldByOthers()
	var left []string
	for _, path := range segments {
		if !strings.Contains(held, path+"\n") {
			left = append(left, path)
		}
	}
	return left
}

// heldByOthers returns what the other processes that we may look into have open and mapped, as text to search.
func heldByOthers() string {
	var held strings.Builder
	self := strconv.Itoa(os.Getpid())
	procs, _ := filepath.Glob("/proc/[0-9]*") // the pattern is well-formed
	for _, proc := range procs {
		if filepath.Base(proc) == self {
			continue
		}
		// A process that is gone or not ours holds nothing that we know of.
		if maps, err := os.ReadFile(filepath.Join(proc, "maps")); err == nil {
			held.Write(maps)
		}
		fds, _ := filepath.Glob(filepath.Join(proc, "fd", "*"))
		for _, fd := range fds {
			if target, err := os.Readlink(fd); err == nil {
				held.WriteString(target + "\n")
			}
		}
	}
	return held.String()
}
