package bench_test

import (
	"fmt"
	"os"
	"sync/atomic"
	"testing"

	"github.com/shmwire/shmwire/ring"
	"github.com/shmwire/shmwire/shmseg"
)

// The transport shm-mpsc: one ring, in a named segment that all processes map, with one consumer and many producers.

// manyNames numbers the segments of this process.
var manyNames atomic.Uint64

// offerMany makes the segment. Its name goes when tb ends, or before: see settle.
func offerMany(tb testing.TB, s *spec) (func() (link, error), error) {
	tb.Helper()
	name := fmt.Sprintf("bench-%d-%d", os.Getpid(), manyNames.Add(1))
	seg, err := shmseg.CreateNamed(name, shmseg.NamedOptions{Regions: s.regions(), Prefault: true})
	if err != nil {
		return nil, err
	}
	s.Address = []string{name}
	l := &ringLink{own: seg}
	tb.Cleanup(func() {
		if err := l.settle(); err != nil {
			tb.Errorf("remove the segment's name: %v", err)
		}
	})
	return func() (link, error) { return l, l.openOne(*s, 1) }, nil
}

// joinMany opens another process's end.
func joinMany(s spec, owner int) (link, error) {
	seg, err := shmseg.OpenNamed(s.Address[0], shmseg.OpenOptions{Regions: s.regions()})
	if err != nil {
		return nil, err
	}
	touch(seg.Bytes())
	l := &ringLink{own: seg}
	return l, l.openOne(s, owner)
}

func (s spec) regions() []int {
	g := s.geometry()
	return []int{regionProducer: g.ProducerBytes(), regionConsumer: g.ConsumerBytes()}
}

// openOne makes the handle of producer number owner, or with 0 of the consumer. All of them spin.
func (l *ringLink) openOne(s spec, owner int) (err error) {
	cfg := ring.Config{Geometry: s.geometry(), PeerNeverParks: true, Stopped: l.stopped, Owner: owner}
	producers, consumer := l.own.Region(regionProducer), l.own.Region(regionConsumer)
	if owner == 0 {
		l.consumer, err = ring.NewConsumer(consumer, producers, cfg)
		return err
	}
	if s.Producers > 1 {
		cfg.Spin = yieldForSpace
	}
	l.producer, err = ring.NewProducer(producers, consumer, cfg)
	return err
}

// yieldForSpace is how producers wait who share a processor: one that spun would keep the others from it, perhaps from
// finishing the very message that the consumer waits for.
func yieldForSpace(look func() bool) bool {
	if look() {
		return true
	}
	yieldProcessor()
	return look()
}

// settle takes the segment's name away, once all who need it have it: nothing is left of it then if they are killed.
func (l *ringLink) settle() error {
	if l.own == nil || l.own.Name() == "" || l.settled {
		return nil
	}
	l.settled = true
	return l.own.Remove()
}
