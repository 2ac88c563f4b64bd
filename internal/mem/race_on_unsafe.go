//go:build race

package mem

import (
	"runtime"
	"unsafe"
)

// crossed stands, for the race detector, for all the order that messages bring about. The detector does not see
// mapped memory, so what crosses it would look unordered to the users of two connected ends in one process.
var crossed int64

// RaceRelease tells the race detector that what this goroutine did is ordered before a later RaceAcquire.
func RaceRelease() { runtime.RaceReleaseMerge(unsafe.Pointer(&crossed)) }

// RaceAcquire tells the race detector that what this goroutine does is ordered after every earlier RaceRelease.
func RaceAcquire() { runtime.RaceAcquire(unsafe.Pointer(&crossed)) }
