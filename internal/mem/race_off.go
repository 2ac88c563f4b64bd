//go:build !race

package mem

// RaceRelease does nothing without the race detector.
func RaceRelease() {}

// RaceAcquire does nothing without the race detector.
func RaceAcquire() {}
