package main

import (
	"errors"
	"fmt"

	"github.com/shmwire/shmwire/ring"
	"github.com/shmwire/shmwire/shmseg"
)

// state is a ring's state in a word; the package comment explains them.
type state string

const (
	stateOK         state = "ok"
	stateFull       state = "full"
	stateIdle       state = "idle"
	stateDeadPeer   state = "dead peer"
	stateClosed     state = "closed"
	stateUnreadable state = "unreadable"
	stateForeign    state = "foreign"
	stateCorrupt    state = "corrupt"
)

// ringView is a ring as we see it.
type ringView struct {
	kind, name         string
	in, out            *segment // of its producer's region and of its consumer's; nil: not to be had
	producer, consumer process
	owners             []ownerView    // of a ring with many producers
	snapshot           *ring.Snapshot // nil: err says why
	err                error
	state              state
	notes              []string
}

func (r *ringView) note(format string, args ...any) {
	r.notes = append(r.notes, fmt.Sprintf(format, args...))
}

// segments returns the segments that the ring lies in.
func (r *ringView) segments() (all []*segment) {
	for _, s := range []*segment{r.in, r.out} {
		if s != nil && (len(all) == 0 || all[0] != s) {
			all = append(all, s)
		}
	}
	return all
}

// inspect fills in the snapshot, or why there is none.
func (r *ringView) inspect() {
	for _, s := range r.segments() {
		if s.header == nil {
			r.err = s.err
			return
		}
	}
	producer, err := mapped(r.in)
	if producer != nil {
		defer producer.Close()
	}
	consumer, err2 := mapped(r.out)
	if consumer != nil {
		defer consumer.Close()
	}
	if r.err = errors.Join(err, err2); r.err != nil {
		return
	}
	// Whoever made an unsealed segment can take its memory away while we look.
	fault := shmseg.Guard(func() {
		r.snapshot, r.err = snapshot(region(producer, regionProducer), region(consumer, regionConsumer))
	}, producer, consumer)
	if fault != nil {
		r.snapshot, r.err = nil, fault
	}
}

// mapped opens s again and maps it; nil if there is no s.
func mapped(s *segment) (*shmseg.Peek, error) {
	if s == nil {
		return nil, nil
	}
	p, err := s.peek()
	if err != nil {
		return nil, err
	}
	return p, p.Map()
}

func region(p *shmseg.Peek, i int) []byte {
	if p == nil {
		return nil
	}
	return p.Region(i)
}

// snapshot looks at a ring whose geometry is in the header of its regions; either may be nil.
func snapshot(producer, consumer []byte) (*ring.Snapshot, error) {
	p, errP := regionHeader(producer, ring.KindSPSCProducer, ring.KindMPSCProducer)
	c, errC := regionHeader(consumer, ring.KindSPSCConsumer, ring.KindMPSCConsumer)
	h := p
	switch {
	case errP != nil && !errors.Is(errP, ring.ErrNoRing):
		return nil, errP
	case errC != nil && !errors.Is(errC, ring.ErrNoRing):
		return nil, errC
	case errP != nil && errC != nil:
		return nil, errP
	case errP != nil:
		h = c
	case errC == nil && p.Geometry != c.Geometry:
		return nil, fmt.Errorf("%w: the producer says %+v and the consumer %+v", ring.ErrCorrupt, p.Geometry, c.Geometry)
	}
	s, err := ring.Inspect(producer, consumer, h.Geometry)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ring.ErrCorrupt, err) // the regions cannot hold what their headers say
	}
	return &s, nil
}

// regionHeader reads the header of a region that holds one of two kinds of a ring's side.
func regionHeader(region []byte, one, many uint32) (ring.RegionHeader, error) {
	if region == nil {
		return ring.RegionHeader{}, ring.ErrNoRing
	}
	h, err := ring.ReadHeader(region)
	if err == nil && h.Kind != one && h.Kind != many {
		err = fmt.Errorf("%w: kind %d in the place of kind %d or %d", ring.ErrCorrupt, h.Kind, one, many)
	}
	return h, err
}

// judge sets the state and the notes.
func (r *ringView) judge(everybodySeen bool) {
	for _, s := range r.segments() {
		if s.header != nil && s.kind == shmseg.Memfd && !s.sealed {
			r.note("the segment of process %d is not sealed: its maker can still take it away", s.creator.pid)
		}
	}
	if r.err != nil {
		r.judgeUnseen()
		return
	}
	s := r.snapshot
	switch {
	case s.Trouble != nil:
		r.state = stateCorrupt
		r.note("%v", s.Trouble)
	case r.deadPeer(everybodySeen):
		r.state = stateDeadPeer
	case s.Producer != nil && s.Producer.Closed, s.Consumer != nil && s.Consumer.Closed:
		r.state = stateClosed
	case s.Producer == nil || s.Consumer == nil:
		r.state = stateUnreadable
		r.note("peer's side not readable")
	case s.Slots == uint64(s.Geometry.Slots), s.Producer.Sleeping > 0 && s.Slots > 0:
		r.state = stateFull
	case s.Slots == 0:
		r.state = stateIdle
	default:
		r.state = stateOK
	}
	if !s.Settled {
		r.note("it moved during the look: the numbers are of slightly different moments")
	}
}

// judgeUnseen judges a ring of which nothing could be seen.
func (r *ringView) judgeUnseen() {
	segments := r.segments()
	switch s := segments[0]; {
	case s.foreign():
		r.state = stateForeign
		r.note("version %d, header of %d bytes: made by another version of this program", s.preamble.Version, s.preamble.HeaderBytes)
	case errors.Is(r.err, ring.ErrForeign):
		r.state = stateForeign
	case errors.Is(r.err, ring.ErrNoRing):
		r.state = stateIdle
		if r.bothDead() {
			r.state = stateDeadPeer
		}
	case s.refused(), errors.Is(r.err, errors.ErrUnsupported):
		r.state = stateUnreadable
	case r.corrupt():
		r.state = stateCorrupt
	default:
		r.state = stateUnreadable // the kernel refused to map it
	}
	r.note("%v", r.err)
}

// corrupt reports whether r.err is about what memory holds, and not about getting at it.
func (r *ringView) corrupt() bool {
	var header *shmseg.HeaderError
	var geometry *ring.GeometryError
	return errors.As(r.err, &header) || errors.As(r.err, &geometry) || errors.Is(r.err, ring.ErrCorrupt) ||
		errors.Is(r.err, shmseg.ErrNotSegment) || errors.Is(r.err, shmseg.ErrTruncated)
}

// deadPeer reports whether somebody died without closing the ring. Who has which side of a named segment is not known
// here; it is dead when its creator is, and nobody has it mapped. Of many producers, one that died matters if others
// have to wait for it.
func (r *ringView) deadPeer(everybodySeen bool) bool {
	s := r.snapshot
	if r.waitsForDead() {
		return true
	}
	if r.kind == "named" {
		if !r.bothDead() || s.Producer.Closed {
			return false
		}
		if !everybodySeen {
			r.note("its maker is dead; a process that could not be looked into may still use it")
		}
		return true
	}
	return r.producer.life == dead && s.Producer != nil && !s.Producer.Closed ||
		r.consumer.life == dead && s.Consumer != nil && !s.Consumer.Closed
}

// bothDead reports whether nobody that we know of has anything to do with the ring any more.
func (r *ringView) bothDead() bool {
	for _, s := range r.segments() {
		if s.creator.life != dead || len(s.attached()) > 0 {
			return false
		}
	}
	return true
}

// fill is how full the ring is, in percent.
func (r *ringView) fill() float64 {
	return float64(r.snapshot.Slots) * 100 / float64(r.snapshot.Geometry.Slots)
}

// complete reports whether both sides were seen, so that it is known what waits.
func (r *ringView) complete() bool {
	return r.snapshot != nil && r.snapshot.Producer != nil && r.snapshot.Consumer != nil
}
