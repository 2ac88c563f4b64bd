package sys

import "os"

// BootID returns the random number that the kernel drew when the machine started.
func BootID() ([16]byte, error) {
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return [16]byte{}, err
	}
	return parseBootID(text)
}

// PIDNamespace returns the inode number of this process's PID namespace: equal numbers mean that PIDs can be compared.
func PIDNamespace() (uint64, error) {
	link, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return 0, err
	}
	return parseNamespace(link)
}

// startTime reads the start time of /proc/name, where name is a PID or "self".
func startTime(name string) (uint64, error) {
	if name == "self" {
		pid, err := os.Readlink("/proc/self") // as this /proc counts
		if err != nil {
			return 0, err
		}
		name = pid
	}
	text, err := os.ReadFile(statPath(name))
	if err != nil {
		return 0, err
	}
	return parseStartTime(text)
}

// statPath returns the file that says of the process pid what /proc/PID/stat says, of its first thread. That one is not
// asked because qemu-user answers a process that reads its own with a start time that it made up, which is not the one
// that all others see.
func statPath(pid string) string { return "/proc/" + pid + "/task/" + pid + "/stat" }
