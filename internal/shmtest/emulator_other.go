//go:build !linux

package shmtest

import "testing"

// NeedsFaultAddresses does nothing: what it asks for is asked of Linux only.
func NeedsFaultAddresses(testing.TB) {}

// NeedsSurplusClosed does nothing: what it asks for is asked of Linux only.
func NeedsSurplusClosed(testing.TB) {}

// SurplusIsClosed is true: it is asked of Linux only.
func SurplusIsClosed(testing.TB) bool { return true }
