// Package mem gives checked, typed access to the shared words of a segment.
//
// A segment arrives as a []byte, so the compiler knows nothing of the words in it. [Uint64At], [Uint32At] and
// [Uint64s] turn an offset into a [Word64] or [Word32] after checking bounds and alignment; everything else in the module
// reads and writes shared words only through what they return. Offsets are our own layout constants, never numbers
// that a peer wrote, so a bad one is a bug of this module and panics with the values.
//
// # Orders
//
// sync/atomic is sequentially consistent: a Store followed by a Load is ordered also against another word, which on
// amd64 costs an XCHG (about 5 ns and a full fence). Publishing alone needs less: [StoreRelease64] orders everything
// written before it and nothing after it (amd64: MOV; arm64: STLR). [StorePlain64] orders nothing and is for words
// that nobody may look at before a later release store.
//
// Under the race detector and on all other architectures both are plain sync/atomic stores, so that the detector
// sees the same program.
//
// # Schedules
//
// Under the build tag shmsteps, for tests alone, words are types of their own that have a test make each access to a
// region in their place. So it decides who goes on after every single access, and what of a store is visible to whom.
// In every other build [Word64] and [Word32] are those of sync/atomic, at no cost.
package mem
