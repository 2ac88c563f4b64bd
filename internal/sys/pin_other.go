//go:build !linux

package sys

import "os"

// Pin returns an error: this operating system has no descriptors that only name a file.
func Pin(string) (int, error) { return -1, unsupported("open(O_PATH)") }

// StatPinned returns an error, as there is nothing pinned.
func StatPinned(int) (Stat, error) { return Stat{}, unsupported("statx") }

// OpenPinned returns an error, as there is nothing pinned.
func OpenPinned(int) (*os.File, error) { return nil, unsupported("open of a pinned file") }

// OpenReadOnly returns an error: there are no segments here to be looked at.
func OpenReadOnly(string) (*os.File, error) { return nil, unsupported("open of a segment") }

// Device returns 0.
func Device(_, _ uint32) uint64 { return 0 }
