package ring

// A descriptor is one atomic 64-bit word beside each slot; layout.go draws it. It counts for position p (invariant I3) only
// if it is not EMPTY and its lap is that of p, (p / N) mod 2^36. So zeroed memory counts for nothing, in lap 0 as in any
// other, and nobody has to clear a descriptor after use.
const (
	stateEmpty     = 0
	stateBusy      = 1
	stateCommitted = 2
	stateSkip      = 3

	stateMask = 3
	xShift    = 2
	xMask     = 1<<26 - 1
	lapPlace  = 28
)

// descriptor returns the word for position at with the given X and state; the lap's upper bits fall off the top.
func descriptor(at uint64, lapShift uint8, x, state uint64) uint64 {
	return at>>(lapShift&63)<<lapPlace | x<<xShift | state
}

// counts reports whether word d says anything about position at.
func counts(d, at uint64, lapShift uint8) bool {
	return d&stateMask != stateEmpty && (d^at>>(lapShift&63)<<lapPlace)>>lapPlace == 0
}

// ready reports whether word d says that there is a record or padding at position at.
func ready(d, at uint64, lapShift uint8) bool {
	return d&stateMask >= stateCommitted && (d^at>>(lapShift&63)<<lapPlace)>>lapPlace == 0
}
