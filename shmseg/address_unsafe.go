package shmseg

import "unsafe"

// addressOf returns where b, which is mapped memory and so never moves, starts.
func addressOf(b []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(b))) }
