//go:build ((!amd64 && !arm64) || race || purego) && !shmsteps

package mem

import (
	"runtime"
)

// StoreRelease64 stores v in *p so that everything this goroutine wrote before is visible to whoever loads v.
// It does not order later loads: a store-load order needs p.Store.
func StoreRelease64(p *Word64, v uint64) { p.Store(v) }

// StorePlain64 stores v in *p, whole but in no order: only for a word that nobody may look at before a later
// release store by the same goroutine.
func StorePlain64(p *Word64, v uint64) { p.Store(v) }

// PrefetchLines does nothing: Go offers no portable hint.
func PrefetchLines(*byte, int) {}

// Pause passes a moment of a spin loop: Go offers no portable processor hint, so it counts.
func Pause(n uint32) {
	for range n {
		runtime.KeepAlive(n)
	}
}
