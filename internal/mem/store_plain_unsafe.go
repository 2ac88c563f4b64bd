//go:build (amd64 || arm64) && !race && !purego && !shmsteps

package mem

import (
	"unsafe"
)

// StorePlain64 stores v in *p, whole but in no order: only for a word that nobody may look at before a later
// release store by the same goroutine. It is inlined to a single MOVQ or MOVD, which internal/policy checks.
func StorePlain64(p *Word64, v uint64) {
	*(*uint64)(unsafe.Pointer(p)) = v
}
