//go:build !linux

package shmtest_test

// systemLeaks returns the cases that only Linux lets us see.
func systemLeaks() map[string]leakCase { return nil }
