//go:build !linux

package sys

// BootID returns an error: this operating system draws no such number.
func BootID() ([16]byte, error) { return [16]byte{}, unsupported("boot id") }

// PIDNamespace returns an error: this operating system has no PID namespaces.
func PIDNamespace() (uint64, error) { return 0, unsupported("PID namespace") }

func startTime(string) (uint64, error) { return 0, unsupported("start time of a process") }
