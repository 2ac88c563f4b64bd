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
	text, err := os.ReadFile("/proc/" + name + "/stat")
	if err != nil {
		return 0, err
	}
	return parseStartTime(text)
}
