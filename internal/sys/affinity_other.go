//go:build !linux

package sys

// AllowedCPUs fails on this platform.
func AllowedCPUs() ([]int, error) { return nil, unsupported("sched_getaffinity") }

// PinThread fails on this platform.
func PinThread(...int) error { return unsupported("sched_setaffinity") }

// PinProcess fails on this platform.
func PinProcess(...int) error { return unsupported("sched_setaffinity") }

// YieldToAll fails on this platform.
func YieldToAll() error { return unsupported("sched_setattr") }
