package ring_test

import (
	"context"
	"testing"

	"github.com/shmwire/shmwire/internal/mem"
	"github.com/shmwire/shmwire/ring"
)

// FuzzMultiConsumer: whatever the producers' region holds, and however it changes between calls and while deaths are
// proven, a consumer of an MPSC ring does not panic or loop, returns at most the longest record, never goes back, and
// stays poisoned.
func FuzzMultiConsumer(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{3, 0, 1, 0, 2, 0, 4, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9})
	f.Add([]byte{2, 4, 0, 3, 7, 7, 7, 1, 1, 1, 1, 9, 9, 9, 2, 0, 1, 2, 3, 4, 5, 6, 7, 8})
	f.Fuzz(func(t *testing.T, data []byte) {
		s := script(data)
		geo, start := fuzzGeometry(&s)
		geo.MPSC = true
		prod, cons := region(t, "producer", geo.ProducerBytes()), region(t, "consumer", geo.ConsumerBytes())
		copy(prod[int(s.byte())*8:], s)
		var c *ring.Consumer
		c, err := ring.NewConsumer(cons, prod, ring.Config{
			Geometry: geo, Start: start, PeerNeverParks: true, Stopped: stopAtOnce,
			ProvenDead: func(owner int) bool {
				if owner < 1 || owner > ring.Owners {
					t.Fatalf("asked for owner %d", owner)
				}
				if s.byte()%4 == 0 {
					lieAsProducers(&s, geo, prod, c.Position())
				}
				return s.byte()%2 == 0
			},
			OnStall: func(stall ring.Stall) {
				if stall.Owner < 1 || stall.Owner > ring.Owners || stall.Slots < 1 || stall.Slots > geo.Slots || stall.Position != c.Position() {
					t.Fatalf("%+v at %d", stall, c.Position())
				}
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		for len(s) > 0 {
			for range s.byte() % 4 {
				lieAsProducers(&s, geo, prod, c.Position())
			}
			if s.byte()%2 == 0 {
				consumeOnce(t, &s, geo, c)
				continue
			}
			for range looks { // until it looks at the claim word
				if consumeManyOnce(t, geo, c) {
					break
				}
			}
		}
	})
}

// examined is how far one look may go: the limit of looks at claims, each of which is at most a ring long.
const examined = 1024

// consumeManyOnce reports whether there was anything but nothing.
func consumeManyOnce(t *testing.T, geo ring.Geometry, c *ring.Consumer) bool {
	before, poisoned := c.Position(), c.Err()
	msg, ok, err := c.TryReceive(nil)
	bounded(t, err)
	if len(msg) > geo.MaxRecord() {
		t.Fatalf("a record of %d bytes", len(msg))
	}
	if moved := c.Position() - before; moved > (examined+2)*uint64(geo.Slots) {
		t.Fatalf("moved from %d by %d slots", before, moved)
	}
	if poisoned != nil && (c.Err() != poisoned || c.Position() != before) {
		t.Fatalf("was poisoned by %v, now %v", poisoned, c.Err())
	}
	if s, ok := c.Stalled(); ok && s.Position != c.Position() {
		t.Fatalf("%+v at %d", s, c.Position())
	}
	return ok || err != nil
}

// FuzzMultiProducer: whatever the consumer's region says, and whatever other producers write into theirs, a producer of an
// MPSC ring does not panic or loop, writes nothing outside its region, and stays poisoned. As long as only the consumer
// lies, its position never goes back either.
func FuzzMultiProducer(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0, 0, 1, 1, 1, 1, 1, 1, 1, 1})
	f.Add([]byte{3, 4, 2, 1, 9, 40, 40, 3, 1, 1, 200, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 2, 2, 2})
	f.Fuzz(func(t *testing.T, data []byte) {
		s := script(data)
		geo, start := fuzzGeometry(&s)
		geo.MPSC = true
		prod, cons := region(t, "producer", geo.ProducerBytes()), region(t, "consumer", geo.ConsumerBytes())
		position := mem.Uint64At(cons, ring.ConsumerPositionOffset)
		position.Store(start)
		trusted := s.byte()%2 == 0 // the other producers
		cfg := ring.Config{Geometry: geo, Start: start, PeerNeverParks: true, Stopped: stopAtOnce}
		var ps []*ring.Producer
		for range 2 {
			p, err := ring.NewProducer(prod, cons, cfg)
			if err != nil {
				t.Fatal(err)
			}
			ps = append(ps, p)
		}
		for len(s) > 0 {
			p := ps[s.byte()%2]
			switch s.byte() % 5 {
			case 0:
				position.Store(s.near(p.Position()))
			case 1:
				position.Store(p.Position())
			case 2:
				mem.Uint64At(cons, ring.ConsumerClosedOffset).Store(uint64(s.byte() / 200))
			case 3:
				if !trusted {
					lieAsProducers(&s, geo, prod, p.Position())
				}
			}
			produceManyOnce(t, &s, geo, p, trusted)
		}
	})
}

func produceManyOnce(t *testing.T, s *script, geo ring.Geometry, p *ring.Producer, trusted bool) {
	before, poisoned := p.Position(), p.Err()
	msg := zeroes[:int(s.byte())*geo.MaxRecord()/255]
	var err error
	switch s.byte() % 4 {
	case 0:
		_, err = p.TrySend(msg)
	case 1:
		_, err = p.SendBatch(context.Background(), [][]byte{msg, nil, msg[:len(msg)/2]})
	case 2:
		err = p.Send(context.Background(), msg)
	default:
		var c ring.Claim
		var ok bool
		if c, ok, err = p.TryClaim(len(msg)); ok {
			clear(c.Bytes())
			if s.byte()%2 == 0 {
				c.Commit()
			} else {
				c.Abort()
			}
		}
	}
	bounded(t, err)
	if trusted && int64(p.Position()-before) < 0 {
		t.Fatalf("went back from %d to %d", before, p.Position())
	}
	if poisoned != nil && (p.Err() != poisoned || p.Position() != before) {
		t.Fatalf("was poisoned by %v, now %v", poisoned, p.Err())
	}
}
