//go:build (amd64 || arm64) && !race && !purego && !shmsteps

package mem

// StoreRelease64 stores v in *p so that everything this goroutine wrote before is visible to whoever loads v.
// It does not order later loads: a store-load order needs p.Store.
//
// On amd64 it is a MOVQ, with neither LOCK nor XCHG, which p.Store is; on arm64 an STLR, without DMB. internal/policy
// disassembles both.
//
//go:noescape
func StoreRelease64(p *Word64, v uint64)

// PrefetchLines asks the processor for n cache lines of 64 bytes from p on (at least one), to be read soon, without
// waiting for them. It touches nothing, wherever they lie.
//
//go:noescape
func PrefetchLines(p *byte, n int)

// Pause tells the processor n times that this is a spin loop: about 25 ns each on recent x86, a few on arm64.
//
//go:noescape
func Pause(n uint32)
