package bench_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"

	"github.com/shmwire/shmwire/internal/sys"
	"github.com/shmwire/shmwire/ring"
	"github.com/shmwire/shmwire/sem"
	"github.com/shmwire/shmwire/shmseg"
)

// slotBytes is the slot of rings unless their messages are tiny: the default of a connection.
const slotBytes = 64

// The regions of a process's segment: what it writes of the ring out, and of the ring in.
const (
	regionProducer = iota
	regionConsumer
)

var (
	background = context.Background()
	errAborted = errors.New("aborted")
)

// ringLink is the transport shm: two bare rings, one each way, as the root package lays them out but without anything
// around them.
type ringLink struct {
	own, peer   *shmseg.Segment
	producer    *ring.Producer
	consumer    *ring.Consumer
	data, space *wakeup // nil: spinning
	aborted     atomic.Bool
	settled     bool // see settle
}

// wakeup is how this process sleeps for one thing, data or space, and how it wakes the peer for the same.
type wakeup struct {
	waiter sem.Waiter
	bell   sem.Doorbell
	event  *sem.Eventfd // the waiter, if it is one
}

// openRings makes this process's half of two rings and exchanges descriptors over control with the peer, who does the
// same.
func openRings(control *net.UnixConn, s spec) (*ringLink, error) {
	g, wait := s.geometry(), s.Wait
	sizes := []int{g.ProducerBytes(), g.ConsumerBytes()}
	own, err := shmseg.CreateMemfd(shmseg.MemfdOptions{Name: "bench", Regions: sizes, Prefault: true})
	if err != nil {
		return nil, err
	}
	l := &ringLink{own: own}
	fds := []int{own.FD()}
	if wait == waitPoller || wait == waitAdaptive {
		if err := l.makeEvents(); err != nil {
			return nil, errors.Join(err, l.close())
		}
		fds = append(fds, l.data.event.FD(), l.space.event.FD())
	}
	theirs, err := exchange(control, fds)
	if err != nil {
		return nil, errors.Join(err, l.close())
	}
	if l.peer, err = shmseg.AttachMemfd(theirs[0], shmseg.AttachOptions{Regions: sizes}); err != nil {
		sys.CloseFDs(theirs[1:])
		return nil, errors.Join(err, l.close())
	}
	touch(l.peer.Bytes())
	if err := errors.Join(l.wire(wait, theirs[1:]), l.openHandles(g, wait)); err != nil {
		return nil, errors.Join(err, l.close())
	}
	return l, nil
}

// geometry is that of the link's rings.
func (s spec) geometry() ring.Geometry {
	return ring.Geometry{Slots: s.Ring / s.Slot, SlotBytes: s.Slot, MPSC: s.Producers > 0}
}

// exchange sends fds and returns as many of the peer's.
func exchange(control *net.UnixConn, fds []int) ([]int, error) {
	s, err := sys.NewSocket(control)
	if err != nil {
		return nil, err
	}
	if err := s.SendMsg([]byte{0}, fds, false); err != nil {
		return nil, err
	}
	r, err := s.RecvMsg(make([]byte, 1), false)
	if err != nil {
		return nil, err
	}
	if len(r.FDs) != len(fds) {
		sys.CloseFDs(r.FDs)
		return nil, fmt.Errorf("got %d descriptors, want %d", len(r.FDs), len(fds))
	}
	return r.FDs, nil
}

// touch gives this process its mapping of every page before anything is timed.
func touch(b []byte) (sum byte) {
	for i := 0; i < len(b); i += 4096 {
		sum += b[i]
	}
	return sum
}

func (l *ringLink) makeEvents() error {
	for _, w := range []**wakeup{&l.data, &l.space} {
		e, err := sem.NewEventfd(nil)
		if err != nil {
			return err
		}
		*w = &wakeup{waiter: e, event: e}
	}
	return nil
}

// wire completes the wake-ups. events are the peer's eventfds, for data and for space, and are taken over.
func (l *ringLink) wire(wait string, events []int) error {
	switch wait {
	case waitSpin:
		return nil
	case waitFutex:
		var errs [2]error
		l.data, errs[0] = l.futexes(regionProducer, ring.ProducerDoorbellOffset)
		l.space, errs[1] = l.futexes(regionConsumer, ring.ConsumerDoorbellOffset)
		return errors.Join(errs[:]...)
	}
	var errs [2]error
	for i, w := range []*wakeup{l.data, l.space} {
		bell, err := sem.NewEventfdDoorbell(events[i])
		errs[i] = err
		if err == nil {
			w.bell = bell
		}
	}
	return errors.Join(errs[:]...)
}

// futexes waits on the peer's word in a region and rings our own.
func (l *ringLink) futexes(region, offset int) (*wakeup, error) {
	waiter, err := sem.NewFutexWaiter(l.peer.Region(region), offset)
	if err != nil {
		return nil, err
	}
	bell, err := sem.NewFutexDoorbell(l.own.Region(region), offset, false)
	if err != nil {
		return nil, err
	}
	return &wakeup{waiter: waiter, bell: bell}, nil
}

// openHandles makes both ends. The producer rings for data and sleeps for space, the consumer the other way round.
func (l *ringLink) openHandles(g ring.Geometry, wait string) (err error) {
	base := ring.Config{Geometry: g, PeerNeverParks: wait == waitSpin, Stopped: l.stopped}
	out, in := base, base
	if wait != waitSpin && l.data != nil && l.space != nil {
		out.Doorbell, out.Waiter = l.data.bell, l.space.waiter
		in.Doorbell, in.Waiter = l.space.bell, l.data.waiter
	}
	if wait == waitAdaptive {
		out.Spin, in.Spin = sem.NewAdaptive().Spin, sem.NewAdaptive().Spin
	}
	if l.producer, err = ring.NewProducer(l.own.Region(regionProducer), l.peer.Region(regionConsumer), out); err != nil {
		return err
	}
	l.consumer, err = ring.NewConsumer(l.own.Region(regionConsumer), l.peer.Region(regionProducer), in)
	return err
}

// stopped ends every wait once the link was interrupted.
func (l *ringLink) stopped() error {
	if l.aborted.Load() {
		return errAborted
	}
	return nil
}

func (l *ringLink) send(msg []byte) error { return l.producer.Send(background, msg) }

func (l *ringLink) receive(buf []byte) error {
	msg, err := l.consumer.Receive(background, buf)
	if err == nil && len(msg) != len(buf) {
		err = lengthError(len(msg), len(buf))
	}
	return err
}

func (l *ringLink) interrupt() {
	l.aborted.Store(true)
	for _, w := range []*wakeup{l.data, l.space} {
		if w != nil && w.waiter != nil {
			w.waiter.Interrupt()
		}
	}
}

func (l *ringLink) close() error {
	var errs []error
	for _, w := range []*wakeup{l.data, l.space} {
		if w == nil {
			continue
		}
		errs = append(errs, w.waiter.Close())
		if bell, ok := w.bell.(*sem.EventfdDoorbell); ok {
			errs = append(errs, bell.Close())
		}
	}
	for _, s := range []*shmseg.Segment{l.own, l.peer} {
		if s != nil {
			errs = append(errs, s.Detach())
		}
	}
	return errors.Join(errs...)
}
