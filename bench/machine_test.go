package bench_test

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"
)

// machine describes where figures come from, a "key: value" a line.
func machine(cpus []int, missing string) []string {
	probe := "C ping-pong between two lines; on one processor with sched_yield"
	if missing != "" {
		probe = "none, no slice is dropped: " + firstLine(missing)
	}
	return []string{
		"cpu-model: " + cpuModel(),
		fmt.Sprintf("cores: %d, allowed %v", runtime.NumCPU(), cpus),
		"kernel: " + fileText("/proc/sys/kernel/osrelease"),
		"go: " + runtime.Version(),
		"governor: " + fileText("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
		fmt.Sprintf("gomaxprocs: %d, with placement=same 1", runtime.GOMAXPROCS(0)),
		"probe: " + probe,
		fmt.Sprintf("clock-ns: %.1f", clockCost()),
	}
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

// fileText is what a file of the kernel says, or "unknown".
func fileText(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(text))
}

func cpuModel() string {
	for line := range strings.Lines(fileText("/proc/cpuinfo")) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

// clockCost is what one reading of the clock takes, in ns: each round trip's time contains one.
func clockCost() float64 {
	const looks = 10_000
	begin := time.Now()
	for range looks {
		_ = time.Since(begin)
	}
	return float64(time.Since(begin)) / looks
}
