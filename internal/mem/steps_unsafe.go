//go:build shmsteps

package mem

import (
	"fmt"
	"sync/atomic"
	"unsafe"
)

// AccessKind tells what an [Access] does.
type AccessKind uint8

// The accesses that words and the functions of this package make.
const (
	AccessLoad           AccessKind = iota
	AccessStore                     // of sync/atomic, in one order with all others
	AccessStoreRelease              // [StoreRelease64]
	AccessStorePlain                // [StorePlain64]
	AccessAdd                       // this and what follows read and write in one step
	AccessSwap                      //
	AccessCompareAndSwap            //
)

// String names the method or function.
func (k AccessKind) String() string {
	names := [...]string{"load", "store", "store-release", "store-plain", "add", "swap", "compare-and-swap"}
	if int(k) < len(names) {
		return names[k]
	}
	return fmt.Sprintf("AccessKind(%d)", uint8(k))
}

// Access is an access to a shared word that somebody is about to make.
type Access struct {
	Offset int // of the word, in bytes from the start of the region
	Size   int // of the word, in bytes: 4 or 8
	Kind   AccessKind
	Value  uint64 // what is stored, added or put in; the low half in a word of 4 bytes
	Old    uint64 // AccessCompareAndSwap: what must be there
}

// interception is one region with what its words call.
type interception struct {
	from, size uintptr
	do         func(Access) uint64
}

// interceptions is a table that is replaced as a whole. It is the one variable of the module, in test builds alone:
// a word is found by nothing but its address.
var interceptions atomic.Pointer[[]*interception]

// Intercept has every access to a word of region call do, in the goroutine that makes it, until the function returned
// is called. do makes the access, now or later, or not at all, and returns what the word held before. Regions must
// not overlap.
func Intercept(region []byte, do func(Access) uint64) (end func()) {
	mine := &interception{uintptr(unsafe.Pointer(unsafe.SliceData(region))), uintptr(len(region)), do}
	change(func(list []*interception) []*interception { return append(list, mine) })
	return func() {
		change(func(list []*interception) []*interception {
			for i, it := range list {
				if it == mine {
					return append(list[:i], list[i+1:]...)
				}
			}
			return list
		})
	}
}

// change replaces the table by what f makes of a copy of it.
func change(f func([]*interception) []*interception) {
	for {
		old := interceptions.Load()
		var list []*interception
		if old != nil {
			list = append(list, *old...)
		}
		list = f(list)
		if interceptions.CompareAndSwap(old, &list) {
			return
		}
	}
}

// intercept makes a an access to the word at address at, if that lies in an intercepted region.
func intercept(at uintptr, a Access) (was uint64, ok bool) {
	list := interceptions.Load()
	if list == nil {
		return 0, false
	}
	for _, it := range *list {
		if off := at - it.from; off < it.size {
			a.Offset = int(off)
			return it.do(a), true
		}
	}
	return 0, false
}

func (w *Word64) intercepted(kind AccessKind, v, old uint64) (was uint64, ok bool) {
	return intercept(uintptr(unsafe.Pointer(w)), Access{Size: 8, Kind: kind, Value: v, Old: old})
}

func (w *Word32) intercepted(kind AccessKind, v, old uint32) (was uint32, ok bool) {
	was64, ok := intercept(uintptr(unsafe.Pointer(w)), Access{Size: 4, Kind: kind, Value: uint64(v), Old: uint64(old)})
	return uint32(was64), ok
}
