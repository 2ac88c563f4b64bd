//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package sys

import "time"

// LockDir does nothing where directories cannot be locked: two listeners that start at the same moment on a dead
// socket may then both believe that they have it.
func LockDir(string, time.Duration) (unlock func(), err error) { return func() {}, nil }
