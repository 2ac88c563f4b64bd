package shmwire

import (
	"sync/atomic"

	"github.com/shmwire/shmwire/fallback"
	"github.com/shmwire/shmwire/ring"
	"github.com/shmwire/shmwire/sem"
)

// parking is where one side of a connection sleeps, and how it spins before. A nil parking is a side that never
// sleeps; it finds out by itself what the methods would tell it.
type parking struct {
	*sem.Throttle             // around the waiter proper
	relay         *sem.Relay  // the waiter proper, if its doorbell comes over the control channel
	armed         atomic.Bool // a wait has begun since the last call ended
}

func newParking(w sem.Waiter) *parking {
	relay, _ := w.(*sem.Relay)
	return &parking{Throttle: sem.NewThrottle(w), relay: relay}
}

// Load begins a wait. From now on, until the call ends, a nudge is not lost on us: the deadline and the closed mark
// are read after this, so a change that we miss is one that sees armed.
func (p *parking) Load() uint32 {
	p.armed.Store(true)
	return p.Throttle.Load()
}

// nudge ends a wait, if one has begun, so that its reasons are asked again. It costs nothing while nobody waits.
func (p *parking) nudge() {
	if p != nil && p.armed.Load() {
		p.Interrupt()
	}
}

func (p *parking) interrupt() {
	if p != nil {
		p.Interrupt()
	}
}

// ring passes on a doorbell that came over the control channel.
func (p *parking) ring() {
	if p != nil && p.relay != nil {
		p.relay.Wake()
	}
}

func (p *parking) disarm() {
	if p != nil && p.armed.Load() {
		p.armed.Store(false)
	}
}

func (p *parking) throttled() uint64 {
	if p == nil {
		return 0
	}
	return p.Throttled()
}

func (p *parking) close() {
	if p != nil {
		_ = p.Close()
	}
}

// into makes a ring's handle sleep here, by the strategy of w.
func (p *parking) into(cfg *ring.Config, w Wait) {
	if p == nil {
		return
	}
	cfg.Waiter = p
	if w == WaitAdaptive {
		cfg.Spin = sem.NewAdaptive().Spin
	}
}

// bells sets up how this process sleeps and returns how it wakes the peer's receiver. The peer's sender is woken over
// the control channel in any case, and so are both sides of a stranger.
func (l *shmLink) bells() (ring.Doorbell, error) {
	var err error
	if l.data, l.space, err = l.mem.parkings(); err != nil {
		return nil, err
	}
	switch l.mem.agreed.PeerWake {
	case fallback.WakeNever:
		return nil, nil
	case fallback.WakeEventfd:
		return &countingBell{l.mem.peerEventfd, l.mem.doorbellWord()}, nil
	case fallback.WakeFutex:
		return sem.NewFutexDoorbell(l.mem.own.Region(regionProducer), ring.ProducerDoorbellOffset, false)
	default:
		return &countingBell{l.control, l.mem.doorbellWord()}, nil
	}
}

// countingBell rings a doorbell that has no word of its own, and counts in the word that inspectors know.
type countingBell struct {
	bell sem.Doorbell
	word *atomic.Uint32
}

// Ring wakes the peer's sleeper.
func (b *countingBell) Ring() {
	b.word.Add(1)
	b.bell.Ring()
}
