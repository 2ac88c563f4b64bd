//go:build !linux

package sys

func eventfdCreate() (int, error) { return -1, unsupported("eventfd") }

// EventfdDrain fails on this platform.
func EventfdDrain(int) (uint64, error) { return 0, unsupported("eventfd") }

// EventfdRing fails on this platform.
func EventfdRing(int) error { return unsupported("eventfd") }

// EventfdAdopt fails on this platform.
func EventfdAdopt(int) (kind string, ok bool, err error) { return "", false, unsupported("eventfd") }

// EventfdDup fails on this platform.
func EventfdDup(int) (int, error) { return -1, unsupported("eventfd") }
