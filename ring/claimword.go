package ring

// The claim word of an MPSC ring describes the last claim; layout.go draws it. Positions in it are modulo 2^38, and who
// reads them rebuilds them from the consumer's position, from which they are at most a ring of 2^37 slots away:
//
//	end = c + ((end − c) mod 2^38)
//
// That is right if the word was still the last claim after c was loaded, because then c ≤ end ≤ c + N (I13).
const (
	claimOwnerMask  = 1<<8 - 1
	claimSlotsShift = 8
	claimSlotsMask  = 1<<18 - 1
	claimStartShift = 26
	claimMask       = 1<<38 - 1 // of positions
)

// claimOf returns the word for a claim of so many slots from position start by owner.
func claimOf(start, slots, owner uint64) uint64 {
	return start<<claimStartShift | slots<<claimSlotsShift | owner
}

// claimSlots returns how many slots claim word t covers; 0 if nothing has ever been claimed.
func claimSlots(t uint64) uint64 { return t >> claimSlotsShift & claimSlotsMask }

// claimOwner returns who made claim t.
func claimOwner(t uint64) uint64 { return t & claimOwnerMask }

// claimStart returns where claim t starts, modulo 2^38.
func claimStart(t uint64) uint64 { return t >> claimStartShift }

// claimEnd returns the position that claim t ends before, given a consumer position loaded while t was the last claim.
func claimEnd(t, consumer uint64) uint64 {
	return consumer + (claimStart(t)+claimSlots(t)-consumer)&claimMask
}

// busyX returns what a BUSY descriptor says about claim t: owner (8) | slots (18).
func busyX(t uint64) uint64 { return claimOwner(t)<<18 | claimSlots(t) }
