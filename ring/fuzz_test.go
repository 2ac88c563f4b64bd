package ring_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"testing"

	"github.com/shmwire/shmwire/internal/mem"
	"github.com/shmwire/shmwire/ring"
)

// script hands out fuzzing bytes; zeroes once they are used up.
type script []byte

func (s *script) byte() byte {
	if len(*s) == 0 {
		return 0
	}
	b := (*s)[0]
	*s = (*s)[1:]
	return b
}

func (s *script) word() uint64 {
	var b [8]byte
	*s = (*s)[copy(b[:], *s):]
	return binary.LittleEndian.Uint64(b[:])
}

// near returns a word that is often close to a plausible position or value.
func (s *script) near(around uint64) uint64 {
	switch s.byte() % 4 {
	case 0:
		return s.word()
	case 1:
		return around + uint64(int64(int8(s.byte())))
	case 2:
		return uint64(s.byte())
	}
	return around
}

func fuzzGeometry(s *script) (ring.Geometry, uint64) {
	geo := geometries[int(s.byte())%len(geometries)]
	return geo, starts(geo)[int(s.byte())%7]
}

var errStop = errors.New("stop")

func stopAtOnce() error { return errStop }

// bounded fails the target on an error that no peer should be able to cause.
func bounded(t *testing.T, err error) {
	switch {
	case err == nil, errors.Is(err, errStop), errors.Is(err, ring.ErrCorrupt), err == io.EOF, errors.Is(err, io.ErrClosedPipe):
	default:
		t.Fatalf("unexpected error %v", err)
	}
}

// FuzzConsumerOnArbitraryRegion: whatever the producer's region holds, and however it changes between calls, a consumer
// does not panic or loop, returns at most the longest record, goes forward by at most a ring and a padding a call, and
// stays poisoned.
func FuzzConsumerOnArbitraryRegion(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{3, 0, 1, 0, 2, 0, 4, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9})
	f.Add([]byte{2, 4, 0, 3, 7, 7, 7, 1, 1, 1, 1, 9, 9, 9, 2, 0, 1, 2, 3, 4, 5, 6, 7, 8})
	f.Fuzz(func(t *testing.T, data []byte) {
		s := script(data)
		geo, start := fuzzGeometry(&s)
		prod, cons := region(t, "producer", geo.ProducerBytes()), region(t, "consumer", geo.ConsumerBytes())
		copy(prod[s.byte():], s)
		c, err := ring.NewConsumer(cons, prod, ring.Config{Geometry: geo, Start: start, PeerNeverParks: true, Stopped: stopAtOnce})
		if err != nil {
			t.Fatal(err)
		}
		for len(s) > 0 {
			for range s.byte() % 4 {
				lieAsProducer(&s, geo, prod, c.Position())
			}
			consumeOnce(t, &s, geo, c)
		}
	})
}

func lieAsProducer(s *script, geo ring.Geometry, prod []byte, at uint64) {
	if s.byte()%4 == 0 {
		mem.Uint64At(prod, ring.ProducerClosedOffset).Store(s.near(at + 1))
		return
	}
	where := at + uint64(s.byte()%4)
	w := mem.Uint64At(prod, ring.ProducerDescriptorsOffset+8*int(where%uint64(geo.Slots)))
	if s.byte()%4 == 0 {
		w.Store(s.word())
		return
	}
	left := uint64(geo.Slots) - where%uint64(geo.Slots)
	w.Store(desc(geo, where, s.near(left), uint64(s.byte())))
}

func consumeOnce(t *testing.T, s *script, geo ring.Geometry, c *ring.Consumer) {
	before, poisoned := c.Position(), c.Err()
	var msg []byte
	var err error
	switch s.byte() % 7 {
	case 5:
		err = drainOnce(t, s, geo, c)
	case 6:
		err = readOnce(t, s, geo, c)
	case 0:
		msg, _, err = c.TryReceive(nil)
	case 1:
		msg, err = c.Receive(context.Background(), nil)
	case 2:
		c.DrainAtMost(uint64(s.byte()))
	default:
		var r ring.Record
		var ok bool
		if r, ok, err = c.TryNext(); ok {
			msg = append(msg, r.Bytes()...)
			r.Release()
		}
	}
	bounded(t, err)
	if len(msg) > geo.MaxRecord() {
		t.Fatalf("a record of %d bytes", len(msg))
	}
	// A padding that nobody would write, to the end of the ring, may stand before or behind what was taken.
	if moved := c.Position() - before; moved >= 2*uint64(geo.Slots) {
		t.Fatalf("moved from %d by %d slots", before, moved)
	}
	if poisoned != nil && (c.Err() != poisoned || c.Position() != before) {
		t.Fatalf("was poisoned by %v, now %v", poisoned, c.Err())
	}
}

// FuzzProducerWithLyingConsumer: whatever the consumer's region says, a producer does not panic or loop, writes nothing
// outside its region, never has more than a ring beyond the last position it accepted, and stays poisoned.
func FuzzProducerWithLyingConsumer(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0, 0, 1, 1, 1, 1, 1, 1, 1, 1})
	f.Add([]byte{3, 4, 2, 1, 9, 40, 40, 3, 1, 1, 200, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 2, 2, 2})
	f.Fuzz(func(t *testing.T, data []byte) {
		s := script(data)
		geo, start := fuzzGeometry(&s)
		prod, cons := region(t, "producer", geo.ProducerBytes()), region(t, "consumer", geo.ConsumerBytes())
		mem.Uint64At(cons, ring.ConsumerPositionOffset).Store(start)
		p, err := ring.NewProducer(prod, cons, ring.Config{Geometry: geo, Start: start, PeerNeverParks: true, Stopped: stopAtOnce})
		if err != nil {
			t.Fatal(err)
		}
		position := mem.Uint64At(cons, ring.ConsumerPositionOffset)
		for len(s) > 0 {
			switch s.byte() % 4 {
			case 0:
				position.Store(s.near(p.Position()))
			case 1:
				position.Store(p.Position())
			case 2:
				mem.Uint64At(cons, ring.ConsumerClosedOffset).Store(uint64(s.byte() / 200))
			}
			produceOnce(t, &s, geo, p)
		}
	})
}

var zeroes = make([]byte, 64<<10)

func produceOnce(t *testing.T, s *script, geo ring.Geometry, p *ring.Producer) {
	before, poisoned := p.Position(), p.Err()
	msg := zeroes[:int(s.byte())*geo.MaxRecord()/255]
	var err error
	switch s.byte() % 3 {
	case 0:
		_, err = p.TrySend(msg)
	case 1:
		_, err = p.SendBatch(context.Background(), [][]byte{msg, nil, msg[:len(msg)/2]})
	default:
		var c ring.Claim
		var ok bool
		if c, ok, err = p.TryClaim(len(msg)); ok {
			clear(c.Bytes())
			c.Commit()
		}
	}
	bounded(t, err)
	// A batch may go over the ring more than once only with a consumer that frees space meanwhile; here none does.
	if moved := p.Position() - before; moved > uint64(geo.Slots) {
		t.Fatalf("moved from %d by %d slots", before, moved)
	}
	if poisoned != nil && (p.Err() != poisoned || p.Position() != before) {
		t.Fatalf("was poisoned by %v, now %v", poisoned, p.Err())
	}
}
