package ring_test

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/shmwire/shmwire/internal/mem"
	"github.com/shmwire/shmwire/internal/shmtest"
	"github.com/shmwire/shmwire/ring"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// resumed returns the configuration with which a handle made with cfg is replaced. Start is not looked at.
func resumed(cfg ring.Config) ring.Config {
	cfg.Resume, cfg.Start = true, 0xbad
	return cfg
}

func (r *rig) restartProducer(t testing.TB) {
	t.Helper()
	p, err := ring.NewProducer(r.prod, r.cons, resumed(r.pc))
	require.NoError(t, err)
	r.p = p
}

func (r *rig) restartConsumer(t testing.TB) {
	t.Helper()
	c, err := ring.NewConsumer(r.cons, r.prod, resumed(r.cc))
	require.NoError(t, err)
	r.c = c
}

// published is the position that the consumer's region says.
func (r *rig) published() uint64 { return r.word(r.cons, ring.ConsumerPositionOffset).Load() }

// history is a ring with all that was ever committed on it, by the position behind each record.
type history struct {
	*rig
	ends []uint64
	msgs [][]byte
}

// add notes messages that were sent from position at on.
func (h *history) add(at uint64, msgs ...[]byte) {
	for _, msg := range msgs {
		if left := uint64(h.geo.Slots) - at%uint64(h.geo.Slots); h.slots(len(msg)) > left {
			at += left
		}
		at += h.slots(len(msg))
		h.ends, h.msgs = append(h.ends, at), append(h.msgs, msg)
	}
}

// waiting returns what a consumer that begins at the published position must get.
func (h *history) waiting() [][]byte {
	for i, end := range h.ends {
		if int64(end-h.published()) > 0 {
			return h.msgs[i:]
		}
	}
	return nil
}

// onACopy returns a ring in the same state whose handles are both new, made after spoil has worked on the regions.
func (h *history) onACopy(t *testing.T, spoil func(r *rig)) *rig {
	t.Helper()
	r := &rig{geo: h.geo, prod: mem.AlignedBytes(len(h.prod)), cons: mem.AlignedBytes(len(h.cons))}
	r.pc = ring.Config{Geometry: h.geo, PeerNeverParks: true}
	r.cc = r.pc
	copy(r.prod, h.prod)
	copy(r.cons, h.cons)
	spoil(r)
	r.restartProducer(t)
	r.restartConsumer(t)
	return r
}

// takesOnly checks that the consumer gets want and then, once around the ring and further, exactly what the new producer
// sends: whatever a predecessor left behind is met there.
func takesOnly(t *testing.T, r *rig, want [][]byte) {
	t.Helper()
	for _, msg := range want {
		mustReceive(t, r.c, msg)
	}
	mustFindNothing(t, r.c)
	for i := range 2*r.geo.Slots + 1 {
		msg := message(uint32(i), i%3*r.geo.SlotBytes%(r.geo.MaxRecord()+1))
		mustSend(t, r.p, msg)
		mustReceive(t, r.c, msg)
		mustFindNothing(t, r.c)
	}
}

// sendSome sends one message, or a batch of them that fits.
func (h *history) sendSome(t *testing.T, rng *rand.Rand) {
	t.Helper()
	free := uint64(h.geo.Slots) - (h.p.Position() - h.published())
	var msgs [][]byte
	for range 1 + rng.IntN(4) {
		msg := message(rng.Uint32(), rng.IntN(h.geo.MaxRecord()+1))
		if 2*h.slots(len(msg)) > free {
			break
		}
		free -= 2 * h.slots(len(msg)) // with the padding it may need
		msgs = append(msgs, msg)
	}
	h.add(h.p.Position(), msgs...)
	if len(msgs) == 1 {
		mustSend(t, h.p, msgs[0])
		return
	}
	n, err := h.p.SendBatch(context.Background(), msgs)
	require.NoError(t, err)
	require.Equal(t, len(msgs), n)
}

// takeSome takes a few records, which may or may not be published.
func (h *history) takeSome(t *testing.T, rng *rand.Rand) {
	t.Helper()
	for range rng.IntN(4) {
		_, _, err := h.c.TryReceive(nil)
		require.NoError(t, err)
	}
}

// unfinished is a send that its producer did not finish: everything but the store that publishes it may have happened.
type unfinished struct {
	before, after []byte   // the producer region
	at            uint64   // its position before
	inner         []uint64 // positions of the descriptors that were to be published by the one at the position before
}

func newUnfinished(r *rig, at uint64, before []byte) unfinished {
	u := unfinished{before: before, after: bytes.Clone(r.prod), at: at}
	for q := at + 1; q != at+uint64(r.geo.Slots); q++ {
		if old, now := u.words(r, q); old != now {
			u.inner = append(u.inner, q)
		}
	}
	return u
}

// words returns a descriptor before and after.
func (u unfinished) words(r *rig, q uint64) (before, after uint64) {
	offset := ring.ProducerDescriptorsOffset + 8*int(q%uint64(r.geo.Slots))
	b := mem.AlignedBytes(16)
	copy(b, u.before[offset:offset+8])
	copy(b[8:], u.after[offset:offset+8])
	return mem.Uint64At(b, 0).Load(), mem.Uint64At(b, 8).Load()
}

// leave puts the region into the state in which the payload and the inner descriptors chosen by the bits of which have
// been written, and nothing else.
func (u unfinished) leave(r *rig, which uint) {
	copy(r.prod, u.before)
	copy(r.prod[r.geo.SlotsOffset():], u.after[r.geo.SlotsOffset():])
	for i, q := range u.inner {
		if _, word := u.words(r, q); which>>i&1 != 0 {
			r.descriptor(q).Store(word)
		}
	}
}

// The stores of a batch reach memory in any order, but the one that publishes it comes last. Whatever of the others is
// there when the producer dies, its successor sends as if they had never been.
func TestProducerRestartAfterDeathAtAnyStore(t *testing.T) {
	inner := 0
	everywhere(t, 4, func(t *testing.T, r *rig) {
		rng := shmtest.Rand(t)
		h := &history{rig: r}
		for range 20 {
			h.takeSome(t, rng)
			waiting, at, before := h.waiting(), r.p.Position(), bytes.Clone(r.prod)
			h.sendSome(t, rng)
			u := newUnfinished(r, at, before)
			inner += len(u.inner)
			for which := range uint(1) << len(u.inner) {
				successor := h.onACopy(t, func(r *rig) { u.leave(r, which) })
				require.Equal(t, at, successor.p.Position(), "inner descriptors %b", which)
				takesOnly(t, successor, waiting)
			}
			takesOnly(t, h.onACopy(t, func(*rig) {}), h.waiting())
		}
	})
	require.NotZero(t, inner, "no batch and no padding was tried")
}

// A successor that dies while it clears what it found is no different.
func TestProducerRestartAfterDeathDuringRestart(t *testing.T) {
	everywhere(t, 4, func(t *testing.T, r *rig) {
		n := uint64(r.geo.Slots)
		h := &history{rig: r}
		h.add(r.p.Position(), []byte("whole"))
		mustSend(t, r.p, []byte("whole"))
		at := r.p.Position()
		for cleared := at; cleared != at+n; cleared++ {
			s := h.onACopy(t, func(r *rig) {
				for q := at + 1; q != at+n-1; q++ { // a batch up to the end of what was free
					r.descriptor(q).Store(committed(r.geo, q, 3))
				}
				for q := at; q != cleared; q++ {
					if q != at+n-1 { // the descriptor of the whole one
						r.descriptor(q).Store(0)
					}
				}
			})
			require.Equal(t, at, s.p.Position())
			takesOnly(t, s, h.msgs)
		}
	})
}

// A successor does not touch what waits, nor a consumer that works meanwhile: its view of the position may be old.
func TestProducerRestartBesideALiveConsumer(t *testing.T) {
	everywhere(t, 8, func(t *testing.T, r *rig) {
		var msgs [][]byte
		for i := range r.geo.Slots/2 + 1 {
			msgs = append(msgs, message(uint32(i), i%(r.geo.SlotBytes+1)))
			mustSend(t, r.p, msgs[i])
		}
		r.descriptor(r.p.Position() + 1).Store(committed(r.geo, r.p.Position()+1, 1))
		for taken := range msgs {
			seen := mem.AlignedBytes(len(r.cons)) // what the successor sees of the consumer, late
			copy(seen, r.cons)
			mustReceive(t, r.c, msgs[taken])
			p, err := ring.NewProducer(r.prod, seen, resumed(r.pc))
			require.NoError(t, err)
			require.Equal(t, r.p.Position(), p.Position())
			copy(seen, r.cons)
		}
		r.restartProducer(t)
		takesOnly(t, r, nil)
	})
}

func TestProducerRestartsWhileTheConsumerReceives(t *testing.T) {
	for _, mode := range waitModes {
		t.Run(mode.name, func(t *testing.T) {
			const total, lives = 2000, 40
			r := newRig(t, ring.Geometry{Slots: 16, SlotBytes: 16}, mode.tweak)
			done := make(chan error, 1)
			go func() {
				for i := range total {
					msg, err := r.c.Receive(context.Background(), nil)
					if err == nil {
						err = checkMessage(msg, uint32(i))
					}
					if err != nil {
						done <- err
						return
					}
				}
				done <- nil
			}()
			for i := range total {
				if i%(total/lives) == total/lives-1 {
					r.descriptor(r.p.Position() + 1).Store(committed(r.geo, r.p.Position()+1, 9)) // what a batch leaves
					r.restartProducer(t)
				}
				require.NoError(t, r.p.Send(context.Background(), message(uint32(i), 12+i%100)))
			}
			require.NoError(t, shmtest.Soon(t, done, "the consumer"))
		})
	}
}

func TestConsumerRestartGoesOnAtThePublishedPosition(t *testing.T) {
	everywhere(t, 4, func(t *testing.T, r *rig) {
		rng := shmtest.Rand(t)
		h := &history{rig: r}
		for range 100 {
			h.sendSome(t, rng)
			h.takeSome(t, rng)
			if rng.IntN(3) == 0 {
				waiting := h.waiting()
				at := r.published()
				r.restartConsumer(t)
				require.Equal(t, at, r.c.Position())
				require.Equal(t, at, r.published())
				if rng.IntN(2) == 0 {
					r.restartProducer(t)
				}
				for _, want := range waiting {
					mustReceive(t, r.c, want)
				}
				mustFindNothing(t, r.c)
			}
		}
	})
}

func TestConsumerRestartRedeliversAView(t *testing.T) {
	r := newRig(t, ring.Geometry{Slots: 64, SlotBytes: 16})
	for i := range 4 {
		mustSend(t, r.p, []byte{byte(i)})
	}
	mustReceive(t, r.c, []byte{0}) // taken, and published at the latest after 8 slots
	v, ok, err := r.c.TryNext()
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, []byte{1}, v.Bytes())
	r.restartConsumer(t)
	for i := range 4 {
		mustReceive(t, r.c, []byte{byte(i)})
	}
	mustFindNothing(t, r.c)
}

func TestRestartReopensAClosedRing(t *testing.T) {
	everywhere(t, 2, func(t *testing.T, r *rig) {
		mustSend(t, r.p, []byte("before"))
		r.p.Close()
		r.c.Close()
		end := r.word(r.prod, ring.ProducerClosedOffset).Load() - 1
		r.restartProducer(t)
		require.Equal(t, end, r.p.Position())
		require.Zero(t, r.word(r.prod, ring.ProducerClosedOffset).Load())
		r.restartConsumer(t)
		require.Zero(t, r.word(r.cons, ring.ConsumerClosedOffset).Load())
		takesOnly(t, r, [][]byte{[]byte("before")})
		r.p.Close()
		requireEOF(t, r.c)
	})
}

// Close at 2^64−1 writes a padding that leads to 0, and then the closed word. The producer may die in between.
func TestProducerRestartBehindThePaddingOfClose(t *testing.T) {
	r := newRig(t, ring.Geometry{Slots: 8, SlotBytes: 16}, startAt(math.MaxUint64-1))
	mustSend(t, r.p, []byte("last"))
	require.Equal(t, uint64(math.MaxUint64), r.p.Position())
	r.p.Close()
	r.word(r.prod, ring.ProducerClosedOffset).Store(0)
	r.restartProducer(t)
	require.Zero(t, r.p.Position())
	takesOnly(t, r, [][]byte{[]byte("last")})
}

func TestRestartOnUnusedRegionsBeginsAtZero(t *testing.T) {
	geo := ring.Geometry{Slots: 8, SlotBytes: 16}
	r := &rig{geo: geo, prod: ring.HeapRegion(geo.ProducerBytes()), cons: ring.HeapRegion(geo.ConsumerBytes())}
	r.pc = ring.Config{Geometry: geo, PeerNeverParks: true}
	r.cc = r.pc
	r.restartProducer(t)
	mustSend(t, r.p, []byte("early"))
	r.restartProducer(t)
	require.Equal(t, uint64(1), r.p.Position())
	r.restartConsumer(t)
	require.Zero(t, r.c.Position())
	takesOnly(t, r, [][]byte{[]byte("early")})
}

func TestRestartForgetsThatThePredecessorSlept(t *testing.T) {
	r := newRig(t, ring.Geometry{Slots: 8, SlotBytes: 16})
	for _, region := range [][]byte{r.prod, r.cons} {
		mem.Uint32At(region, ring.ProducerSleepingOffset).Store(1)
		mem.Uint64At(region, ring.ProducerParksOffset).Store(41)
	}
	mustSend(t, r.p, nil)
	data, space := r.data.rings.Load(), r.space.rings.Load()
	r.restartProducer(t)
	r.restartConsumer(t)
	s := mustInspect(t, r)
	assert.Zero(t, s.Producer.Sleeping)
	assert.Zero(t, s.Consumer.Sleeping)
	assert.EqualValues(t, 41, s.Producer.Parks, "never reset")
	assert.EqualValues(t, 41, s.Consumer.Parks, "never reset")
	assert.Equal(t, data+1, r.data.rings.Load(), "the consumer may have waited for the predecessor")
	assert.Equal(t, space+1, r.space.rings.Load())
	assert.EqualValues(t, 1, s.Producer.Stats.Position)
}

// The header keeps saying where the ring began: a consumer that comes late begins there.
func TestRestartKeepsTheStartInTheHeader(t *testing.T) {
	r := newRig(t, ring.Geometry{Slots: 8, SlotBytes: 16}, startAt(1000))
	mustSend(t, r.p, nil)
	mustReceive(t, r.c, nil)
	r.restartProducer(t)
	r.restartConsumer(t)
	for _, region := range [][]byte{r.prod, r.cons} {
		h, err := ring.ReadHeader(region)
		require.NoError(t, err)
		assert.Equal(t, uint64(1000), h.Start)
	}
}

func TestRestartRefuses(t *testing.T) {
	geo := ring.Geometry{Slots: 8, SlotBytes: 16}
	corrupt := func(region, field string, at, got uint64, want string) error {
		return &ring.CorruptError{Region: region, Field: field, Position: at, Got: got, Want: want}
	}
	busy := func(r *rig) { r.descriptor(14).Store(desc(geo, 14, 1, 1)) }
	position := func(c uint64) func(r *rig) {
		return func(r *rig) { r.word(r.cons, ring.ConsumerPositionOffset).Store(c) }
	}
	far := "5 to 29, since the producer has been at 13"
	for _, tt := range []struct {
		name  string
		spoil func(r *rig)
		want  error
	}{
		{"busy descriptor", busy, corrupt("producer", "descriptor state", 14, 1, "EMPTY (0), COMMITTED (2) or SKIP (3)")},
		{"more than a ring", func(r *rig) {
			r.descriptor(14).Store(desc(geo, 14, 2, 3))
			r.descriptor(16).Store(desc(geo, 16, 64, 2))
			r.descriptor(20).Store(desc(geo, 20, 17, 2))
		}, corrupt("producer", "slots", 20, 2, "at most the 1 that were free")},
		{"consumer far ahead", position(1 << 40), corrupt("consumer", "position", 1<<40, 1<<40, far)},
		{"consumer behind", position(4), corrupt("consumer", "position", 4, 4, far)},
		{"consumer back at 0", position(0), corrupt("consumer", "position", 0, 0, far)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, geo, startAt(13))
			mustSend(t, r.p, []byte("x"))
			tt.spoil(r)
			prod, cons := bytes.Clone(r.prod), bytes.Clone(r.cons)
			_, err := ring.NewProducer(r.prod, r.cons, resumed(r.pc))
			require.Equal(t, tt.want, err)
			assert.Equal(t, prod, r.prod, "written before it was refused")
			assert.Equal(t, cons, r.cons)
		})
	}
}

// Before a producer has gone once around, the start of the ring is what its successor compares with.
func TestRestartRefusesAPositionFarFromTheStart(t *testing.T) {
	r := newRig(t, ring.Geometry{Slots: 8, SlotBytes: 16})
	for c, ok := range map[uint64]bool{0: true, 16: true, 17: false, 1 << 40: false, math.MaxUint64: true, math.MaxUint64 - 8: false} {
		r.word(r.cons, ring.ConsumerPositionOffset).Store(c)
		r.word(r.prod, ring.ProducerStatsOffset+7*8).Store(0)
		_, err := ring.NewProducer(r.prod, r.cons, resumed(r.pc))
		if ok {
			require.NoError(t, err, "position %d", c)
		} else {
			require.ErrorIs(t, err, ring.ErrCorrupt, "position %d", c)
		}
	}
}

// A full ring cannot end at 2^64−1, where Close needs one slot more (I6).
func TestRestartRefusesAFullRingBeforeTheTop(t *testing.T) {
	geo := ring.Geometry{Slots: 8, SlotBytes: 16}
	r := newRig(t, geo, startAt(math.MaxUint64-8))
	require.Equal(t, 7, fill(t, r.p))
	r.descriptor(math.MaxUint64 - 1).Store(committed(geo, math.MaxUint64-1, 1))
	_, err := ring.NewProducer(r.prod, r.cons, resumed(r.pc))
	require.Equal(t, &ring.CorruptError{
		Region: "producer", Field: "slots", Position: math.MaxUint64, Got: 8, Want: "at most 7 before position 2^64-1",
	}, err)
}

func TestRestartRefusesRegionsOfAnotherRing(t *testing.T) {
	geo := ring.Geometry{Slots: 8, SlotBytes: 16}
	for _, other := range []ring.Geometry{{Slots: 4, SlotBytes: 16}, {Slots: 4, SlotBytes: 32}} {
		t.Run(fmt.Sprintf("%+v", other), func(t *testing.T) {
			r := newRig(t, geo)
			cfg := ring.Config{Geometry: other, Resume: true, PeerNeverParks: true}
			prod, cons := bytes.Clone(r.prod), bytes.Clone(r.cons)
			_, err := ring.NewProducer(r.prod, r.cons, cfg)
			require.ErrorContains(t, err, "8 slots of 16 bytes")
			require.ErrorContains(t, err, fmt.Sprintf("%d of %d", other.Slots, other.SlotBytes))
			_, err = ring.NewConsumer(r.cons, r.prod, cfg)
			require.ErrorContains(t, err, "8 slots of 16 bytes")
			assert.Equal(t, prod, r.prod)
			assert.Equal(t, cons, r.cons)
		})
	}
	r := newRig(t, geo)
	_, err := ring.NewConsumer(r.prod, r.prod, resumed(r.cc))
	require.ErrorContains(t, err, "used for kind 1")
}
