package ring_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/shmwire/shmwire/ring"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// wraps are positions near multiples of 2^38, where the start in the claim word begins again at 0, also where that of a
// descriptor's lap, the sign or everything does.
func wraps() []uint64 {
	var all []uint64
	for _, edge := range []uint64{1 << 38, 3 << 38, 1<<42 + 1<<38, 64 << 36, 1 << 63, 0} {
		for back := uint64(1); back <= 5; back++ {
			all = append(all, edge-back)
		}
	}
	return all
}

// Every hole at every place around the wrap of the claim word, with claims of one to three slots.
func TestMultiClaimWordWraps(t *testing.T) {
	geo := ring.Geometry{Slots: 8, SlotBytes: 16}
	for _, start := range wraps() {
		t.Run(fmt.Sprintf("start=%#x", start), func(t *testing.T) {
			for victim := range 8 { // which of the claims is never finished
				r := newCrowd(t, geo, startAt(start))
				p := r.join()
				var want [][]byte
				for i := range 8 {
					msg := message(uint32(i), 1+16*(i%3))
					if i == victim {
						d := r.join()
						r.open(d, len(msg))
						r.kill(d)
					} else {
						mustSend(t, p, msg)
						want = append(want, msg)
					}
					if i%2 == 0 { // otherwise the next claim helps
						continue
					}
					for _, msg := range want {
						r.mustReceive(msg)
					}
					want = nil
					r.mustFindNothing()
				}
				require.Equal(t, uint64(1), r.c.Stats().Recovered, "victim %d", victim)
				require.Equal(t, r.c.Position(), r.published())
				require.Less(t, r.c.Position()-start, uint64(30))
			}
		})
	}
}

// The claim word's start is less than the consumer's position there, and the end of the last claim is still found.
func TestMultiQuarantineOverTheWrap(t *testing.T) {
	for _, start := range wraps() {
		r := newCrowd(t, ring.Geometry{Slots: 8, SlotBytes: 16}, startAt(start))
		slow := r.join()
		claim := r.open(slow, 1)
		d := r.mustBe(2)
		r.open(d, 1)
		r.kill(d)
		for range 6 {
			d := r.join()
			r.open(d, 1)
			d.Close()
		}
		r.mustFindNothing()
		_, err := r.as(2)
		requireOwners(t, err, ring.OwnersError{Owner: 2, Waiting: 1})
		claim.Abort()
		r.mustFindNothing()
		r.mustBe(2)
	}
}

// Full and empty are told apart at every position around the wrap, by a producer that has been there all the time and by
// one that comes new.
func TestMultiFullAndEmptyAroundTheWrap(t *testing.T) {
	for _, geo := range geometries {
		for _, start := range wraps() {
			r := newCrowd(t, geo, startAt(start))
			old := r.join()
			for step := range uint64(8) {
				require.Equal(t, geo.Slots, fill(t, old))
				p := r.join()
				_, ok, err := p.TryClaim(0)
				require.NoError(t, err)
				require.False(t, ok, "full at %#x", start)
				p.Close()
				for i := range geo.Slots {
					r.mustReceive([]byte{byte(i)})
				}
				r.mustFindNothing()
				mustSend(t, old, []byte("one further"))
				r.mustReceive([]byte("one further"))
				require.Equal(t, start+(step+1)*uint64(geo.Slots+1), r.c.Position())
			}
		}
	}
}

// Long runs through the wrap of everything: the last claim before 2^64 ends at 0, and what is told to whom stays true.
func TestMultiRunThroughTheTop(t *testing.T) {
	withMany(t, 4, func(t *testing.T, r *crowd) {
		start := r.c.Position()
		if start < math.MaxUint64-3 {
			t.Skip("elsewhere")
		}
		p, q := r.join(), r.join()
		for i := range 6 * r.geo.Slots {
			for _, p := range []*ring.Producer{p, q} {
				msg := message(uint32(i), (i%3)*r.geo.SlotBytes)
				if len(msg) > p.MaxRecord() {
					msg = nil
				}
				mustSend(t, p, msg)
				r.mustReceive(msg)
			}
		}
		assert.Less(t, r.c.Position(), uint64(1)<<32)
		assert.Equal(t, q.Position(), r.c.Position())
		assert.Equal(t, p.Stats().Records+q.Stats().Records, r.c.Stats().Records)
		assert.LessOrEqual(t, q.Stats().HighWater, uint64(r.geo.Slots))
	})
}

// A consumer of an MPSC ring goes on where its predecessor published: what that one stepped over or took without
// publishing comes again, and the numbers of the dead have waited for it.
func TestMultiConsumerGoesOnWhereItsPredecessorStopped(t *testing.T) {
	for _, start := range wraps() {
		r := newCrowd(t, ring.Geometry{Slots: 64, SlotBytes: 16}, startAt(start))
		d, p := r.mustBe(1), r.mustBe(2)
		r.open(d, 1)
		r.kill(d)
		for i := range 3 {
			mustSend(t, p, []byte{byte(i)})
		}
		r.mustReceive([]byte{0}) // steps over the dead claim, and publishes nothing yet: more is there
		require.Equal(t, start, r.published())
		_, err := r.as(1)
		requireOwners(t, err, ring.OwnersError{Owner: 1, Waiting: 1})

		cfg := r.cc
		cfg.Resume, cfg.Start = true, 12345
		r.c, err = ring.NewConsumer(r.cons, r.prod, cfg)
		require.NoError(t, err)
		for i := range 3 {
			r.mustReceive([]byte{byte(i)})
		}
		r.mustFindNothing()
		assert.Equal(t, uint64(1), r.c.Stats().Recovered)
		r.mustBe(1)
	}
}
