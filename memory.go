package shmwire

import (
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/shmwire/shmwire/fallback"
	"github.com/shmwire/shmwire/internal/mem"
	"github.com/shmwire/shmwire/internal/sys"
	"github.com/shmwire/shmwire/ring"
	"github.com/shmwire/shmwire/sem"
	"github.com/shmwire/shmwire/shmseg"
)

// The regions of a connection's segment, in this order: what its owner writes of the ring out, and of the ring in.
const (
	regionProducer = iota
	regionConsumer
)

// sharedMemory is the memory of a connection while it is negotiated and used: our segment, the peer's, and the
// doorbells that came and went with them.
type sharedMemory struct {
	cfg      *Config
	budget   *budget
	wait     Wait
	agreed   fallback.Agreement
	geometry ring.Geometry
	own      *shmseg.Segment
	peer     *shmseg.Segment
	reserved int64 // of the budget
	uid      int   // on whose account

	eventfd     *sem.Eventfd         // our data doorbell, if the agreement says so
	peerEventfd *sem.EventfdDoorbell // the peer's
}

func regionSizes(g ring.Geometry) []int { return []int{g.ProducerBytes(), g.ConsumerBytes()} }

// make is the handshake's Make: our segment, sealed, and our eventfd.
func (m *sharedMemory) make(a fallback.Agreement) (fallback.Offer, error) {
	m.agreed, m.geometry = a, geometryOf(a)
	if err := m.geometry.Validate(); err != nil {
		return fallback.Offer{}, err
	}
	if err := m.reserve(); err != nil {
		return fallback.Offer{}, err
	}
	fds, err := m.create()
	if err != nil {
		m.free()
		return fallback.Offer{}, err
	}
	return fallback.Offer{FDs: fds}, nil
}

// reserve books both segments on the listener's account.
func (m *sharedMemory) reserve() error {
	_, bytes := shmseg.Layout(regionSizes(m.geometry)...)
	if err := m.budget.reserve(m.uid, 2*int64(bytes)); err != nil {
		return err
	}
	m.reserved = 2 * int64(bytes)
	return nil
}

func (m *sharedMemory) create() (fds []int, err error) {
	m.own, err = shmseg.CreateMemfd(shmseg.MemfdOptions{
		Name: "conn", Regions: regionSizes(m.geometry), Link: m.agreed.Link, Prefault: m.cfg.Prefault, Sys: m.cfg.sys,
	})
	if err != nil {
		return nil, err
	}
	fds = []int{m.own.FD()}
	if m.agreed.OwnWake != fallback.WakeEventfd {
		return fds, nil
	}
	if m.eventfd, err = sem.NewEventfd(m.cfg.sys); err != nil {
		return nil, err
	}
	return append(fds, m.eventfd.FD()), nil
}

// take is the handshake's Take: the peer's segment, checked, and its eventfd.
func (m *sharedMemory) take(a fallback.Agreement, o fallback.Offer) error {
	rest := o.FDs[1:]
	if m.own == nil { // we could not make ours, so there is nothing to attach for
		sys.CloseFDs(o.FDs)
		return errors.New("no memory of our own")
	}
	var err error
	m.peer, err = shmseg.AttachMemfd(o.FDs[0], shmseg.AttachOptions{Regions: regionSizes(geometryOf(a)), Sys: m.cfg.sys})
	if err != nil {
		sys.CloseFDs(rest)
		return refusal(err)
	}
	if len(rest) == 0 {
		return nil
	}
	m.peerEventfd, err = sem.NewEventfdDoorbell(rest[0])
	return refusal(err)
}

// refusal makes an offer that the protocol forbids the end of the connection; other troubles are our own.
func refusal(err error) error {
	if a := (*shmseg.AttachError)(nil); errors.As(err, &a) && (a.Err == nil || errors.Is(a.Err, sys.EINVAL)) {
		return &HandshakeError{Stage: "offer", Got: a.Check + " " + a.Got, Want: a.Want, Err: err}
	}
	if d := (*sem.DescriptorError)(nil); errors.As(err, &d) {
		return &HandshakeError{Stage: "offer", Got: "a descriptor that is no eventfd", Want: "an eventfd", Err: err}
	}
	return err
}

// parkings returns where the receiver and the sender sleep. The connection owns the eventfd from here on.
func (m *sharedMemory) parkings() (data, space *parking, err error) {
	var w sem.Waiter
	switch m.agreed.OwnWake {
	case fallback.WakeNever:
		return nil, nil, nil
	case fallback.WakeEventfd:
		w, m.eventfd = m.eventfd, nil
	case fallback.WakeFutex:
		if w, err = sem.NewFutexWaiter(m.peer.Region(regionProducer), ring.ProducerDoorbellOffset); err != nil {
			return nil, nil, fmt.Errorf("wait on the peer's doorbell: %w", err)
		}
	default:
		w = sem.NewRelay()
	}
	return newParking(w), newParking(sem.NewRelay()), nil
}

func (m *sharedMemory) doorbellWord() *atomic.Uint32 {
	return mem.Uint32At(m.own.Region(regionProducer), ring.ProducerDoorbellOffset)
}

func (m *sharedMemory) closeBells() {
	if m.eventfd != nil {
		_ = m.eventfd.Close()
		m.eventfd = nil
	}
	if m.peerEventfd != nil {
		_ = m.peerEventfd.Close()
		m.peerEventfd = nil
	}
}

// free gives everything back, whatever there is of it. It may be called again.
func (m *sharedMemory) free() {
	m.closeBells()
	if m.own != nil {
		_ = m.own.Detach()
		m.own = nil
	}
	if m.peer != nil {
		_ = m.peer.Detach()
		m.peer = nil
	}
	m.budget.giveBack(m.uid, m.reserved)
	m.reserved = 0
}
