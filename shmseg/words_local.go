//go:build mips || mipsle || (arm && !arm.7)

package shmseg

// sharedWords says whether 64-bit atomics work between processes on this processor. Here Go makes them from locks in
// the process's own memory.
const sharedWords = false
