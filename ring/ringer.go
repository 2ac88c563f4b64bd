package ring

import "github.com/shmwire/shmwire/internal/mem"

// ringer is the waking half of a handle (I8). It only ever reads the other side's parks word.
type ringer struct {
	parks    *mem.Word64 // written by: the other side, before it sleeps
	rung     uint64      // the last announcement answered; private, and written only after the answer
	fenced   bool        // the other side may sleep
	doorbell Doorbell
	rings    uint64 // for Stats
}

// makeRinger attaches to the other side. What it announced before we came is not known to have been answered, so the
// first ring is unconditional (see attach).
func makeRinger(cfg *Config, peer []byte) ringer {
	parks := mem.Uint64At(peer, ProducerParksOffset)
	return ringer{parks: parks, rung: parks.Load() - 1, fenced: !cfg.PeerNeverParks, doorbell: cfg.Doorbell}
}

// publish stores v in w, our word that the other side polls, and wakes it if it sleeps.
//
// The store publishes everything written before it; its counterpart is the other side's load of w (Consumer.lookHere,
// Producer.space). Against a sleeper the store must also come before the load of parks, which sync/atomic guarantees.
func (r *ringer) publish(w *mem.Word64, v uint64) {
	if !r.fenced {
		mem.StoreRelease64(w, v)
		return
	}
	w.Store(v)
	// sync(park) takes over: nothing but the number. Pairs with sleeper.park.
	if parks := r.parks.Load(); parks != r.rung {
		r.ringFor(parks)
	}
}

// answer rings if the other side has announced a sleep since the last time. It takes over nothing: the number is only
// compared, so a lying peer can at worst have itself woken.
func (r *ringer) answer() {
	if !r.fenced {
		return
	}
	if parks := r.parks.Load(); parks != r.rung {
		r.ringFor(parks)
	}
}

// ringFor answers one announcement. Noting it first would silence a ring that never happens.
func (r *ringer) ringFor(parks uint64) {
	r.ring()
	r.rung = parks
}

// ring rings whether or not anybody sleeps.
func (r *ringer) ring() {
	if r.doorbell != nil {
		r.rings++
		r.doorbell.Ring()
	}
}
