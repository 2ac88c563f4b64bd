//go:build !shmsteps

package mem

import "sync/atomic"

// Word64 is a shared word of 64 bits.
type Word64 = atomic.Uint64

// Word32 is a shared word of 32 bits.
type Word32 = atomic.Uint32
