//go:build shmsteps

package mem

import "sync/atomic"

// This file stands in for word.go and the stores under the build tag shmsteps: the same words with the same methods,
// size and alignment, but each access to a region given to [Intercept] is a call of the function given there.

// Word64 is a shared word of 64 bits.
type Word64 struct{ v atomic.Uint64 }

// Word32 is a shared word of 32 bits.
type Word32 struct{ v atomic.Uint32 }

// Load returns the word.
func (w *Word64) Load() uint64 {
	if was, ok := w.intercepted(AccessLoad, 0, 0); ok {
		return was
	}
	return w.v.Load()
}

// Store writes the word.
func (w *Word64) Store(v uint64) {
	if _, ok := w.intercepted(AccessStore, v, 0); !ok {
		w.v.Store(v)
	}
}

// Add adds delta and returns the new value.
func (w *Word64) Add(delta uint64) uint64 {
	if was, ok := w.intercepted(AccessAdd, delta, 0); ok {
		return was + delta
	}
	return w.v.Add(delta)
}

// Swap writes v and returns what was there.
func (w *Word64) Swap(v uint64) uint64 {
	if was, ok := w.intercepted(AccessSwap, v, 0); ok {
		return was
	}
	return w.v.Swap(v)
}

// CompareAndSwap writes v if old is there, and reports whether it was.
func (w *Word64) CompareAndSwap(old, v uint64) bool {
	if was, ok := w.intercepted(AccessCompareAndSwap, v, old); ok {
		return was == old
	}
	return w.v.CompareAndSwap(old, v)
}

// Load returns the word.
func (w *Word32) Load() uint32 {
	if was, ok := w.intercepted(AccessLoad, 0, 0); ok {
		return was
	}
	return w.v.Load()
}

// Store writes the word.
func (w *Word32) Store(v uint32) {
	if _, ok := w.intercepted(AccessStore, v, 0); !ok {
		w.v.Store(v)
	}
}

// Add adds delta and returns the new value.
func (w *Word32) Add(delta uint32) uint32 {
	if was, ok := w.intercepted(AccessAdd, delta, 0); ok {
		return was + delta
	}
	return w.v.Add(delta)
}

// Swap writes v and returns what was there.
func (w *Word32) Swap(v uint32) uint32 {
	if was, ok := w.intercepted(AccessSwap, v, 0); ok {
		return was
	}
	return w.v.Swap(v)
}

// CompareAndSwap writes v if old is there, and reports whether it was.
func (w *Word32) CompareAndSwap(old, v uint32) bool {
	if was, ok := w.intercepted(AccessCompareAndSwap, v, old); ok {
		return was == old
	}
	return w.v.CompareAndSwap(old, v)
}

// StoreRelease64 stores v in *p so that everything this goroutine wrote before is visible to whoever loads v.
func StoreRelease64(p *Word64, v uint64) {
	if _, ok := p.intercepted(AccessStoreRelease, v, 0); !ok {
		p.v.Store(v)
	}
}

// StorePlain64 stores v in *p, whole but in no order.
func StorePlain64(p *Word64, v uint64) {
	if _, ok := p.intercepted(AccessStorePlain, v, 0); !ok {
		p.v.Store(v)
	}
}

// PrefetchLines does nothing: caches are not modelled.
func PrefetchLines(*byte, int) {}

// Pause does nothing: time is not modelled.
func Pause(uint32) {}
