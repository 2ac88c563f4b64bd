package ring_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/shmwire/shmwire/internal/mem"
	"github.com/shmwire/shmwire/ring"
)

var errFuzzHandler = errors.New("handler failed")

// drainOnce takes several messages at once from a producer that writes on meanwhile.
func drainOnce(t *testing.T, s *script, geo ring.Geometry, c *ring.Consumer) error {
	taken, slots := 0, uint64(0)
	n, err := c.TryDrain(1+int(s.byte()), func(msg []byte) error {
		if s.byte()%8 == 7 {
			return errFuzzHandler
		}
		taken++
		slots += max(1, uint64(len(msg)+geo.SlotBytes-1)/uint64(geo.SlotBytes))
		return nil
	})
	if n != taken || slots > uint64(geo.Slots) {
		t.Fatalf("took %d messages of %d slots, says %d", taken, slots, n)
	}
	if errors.Is(err, errFuzzHandler) {
		return nil
	}
	return err
}

func readOnce(t *testing.T, s *script, geo ring.Geometry, c *ring.Consumer) error {
	taken, slots := 0, uint64(0)
	n, err := c.TryRead(1+int(s.byte()), func(msg []byte) ring.Action {
		a := ring.Action(s.byte() % 4)
		if a != ring.Rewind {
			taken++
			slots += max(1, uint64(len(msg)+geo.SlotBytes-1)/uint64(geo.SlotBytes))
		}
		return a
	})
	// After a Commit an honest producer could have gone on.
	if n != taken || slots > uint64(geo.Slots) {
		t.Fatalf("took %d messages of %d slots, says %d", taken, slots, n)
	}
	return err
}

// FuzzRestartOnArbitraryRegions: whatever lies in the regions, a handle that takes over either refuses without having
// written anything, or begins within a ring of the consumer's position with nothing before it that a consumer could take
// for a message. Either way it does not panic or loop, also not in use.
func FuzzRestartOnArbitraryRegions(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{3, 0, 1, 0, 2, 0, 4, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9})
	f.Add([]byte{2, 4, 3, 9, 0, 3, 7, 7, 7, 1, 1, 1, 1, 9, 9, 9, 2, 0, 1, 2, 3, 4, 5, 6, 7, 8, 1, 1, 1, 5, 5, 6, 6, 2})
	f.Fuzz(func(t *testing.T, data []byte) {
		s := script(data)
		geo, start := fuzzGeometry(&s)
		prod, cons := region(t, "producer", geo.ProducerBytes()), region(t, "consumer", geo.ConsumerBytes())
		leaveBehind(&s, geo, start, prod, cons)
		cfg := ring.Config{Geometry: geo, Start: start, Resume: true, PeerNeverParks: true, Stopped: stopAtOnce}
		p := takeOverProducer(t, prod, cons, cfg)
		c := takeOverConsumer(t, prod, cons, cfg)
		for len(s) > 0 {
			switch forProducer := s.byte()%2 == 0; {
			case forProducer && p != nil:
				produceOnce(t, &s, geo, p)
			case !forProducer && c != nil:
				consumeOnce(t, &s, geo, c)
			}
		}
	})
}

// leaveBehind fills the regions with what predecessors may have left, and with anything else.
func leaveBehind(s *script, geo ring.Geometry, start uint64, prod, cons []byte) {
	at := s.near(start)
	mem.Uint64At(cons, ring.ConsumerPositionOffset).Store(at)
	if s.byte()%2 == 0 {
		mem.Uint64At(prod, ring.ProducerStatsOffset+7*8).Store(s.near(at))
	}
	for range s.byte() % 32 {
		lieAsProducer(s, geo, prod, at+uint64(s.byte()%8))
	}
	if s.byte()%2 == 0 {
		for _, region := range [][]byte{prod, cons} { // at any offset, the header included
			copy(region[int(s.byte())*4%len(region):], (*s)[:min(len(*s), 64)])
		}
	}
	if s.byte()%2 == 0 {
		mem.Uint64At(prod, 0).Store(ring.Magic)
		mem.Uint64At(cons, 0).Store(ring.Magic)
	}
}

// refused fails the target unless the error is one that regions can cause.
func refused(t *testing.T, err error) {
	if !errors.Is(err, ring.ErrCorrupt) && !strings.HasPrefix(err.Error(), "ring: resume: ") {
		t.Fatalf("unexpected error %v", err)
	}
}

func takeOverProducer(t *testing.T, prod, cons []byte, cfg ring.Config) *ring.Producer {
	before, c := bytes.Clone(prod), mem.Uint64At(cons, ring.ConsumerPositionOffset).Load()
	p, err := ring.NewProducer(prod, cons, cfg)
	if err != nil {
		refused(t, err)
		if !bytes.Equal(before, prod) {
			t.Fatal("written before it was refused")
		}
		return nil
	}
	n := uint64(cfg.Slots)
	if p.Position()-c > n {
		t.Fatalf("begins at %d, the consumer is at %d", p.Position(), c)
	}
	for at := p.Position(); at != c+n; at++ {
		if d := mem.Uint64At(prod, ring.ProducerDescriptorsOffset+8*int(at%n)).Load(); d != 0 {
			t.Fatalf("descriptor of position %d is %#x, want 0", at, d)
		}
	}
	return p
}

func takeOverConsumer(t *testing.T, prod, cons []byte, cfg ring.Config) *ring.Consumer {
	before, at := bytes.Clone(cons), mem.Uint64At(cons, ring.ConsumerPositionOffset).Load()
	c, err := ring.NewConsumer(cons, prod, cfg)
	if err != nil {
		refused(t, err)
		if !bytes.Equal(before, cons) {
			t.Fatal("written before it was refused")
		}
		return nil
	}
	if c.Position() != at || mem.Uint64At(cons, ring.ConsumerPositionOffset).Load() != at {
		t.Fatalf("begins at %d, want %d", c.Position(), at)
	}
	return c
}
