//go:build !mips && !mipsle && (!arm || arm.7)

package shmseg

// sharedWords says whether 64-bit atomics work between processes on this processor.
const sharedWords = true
