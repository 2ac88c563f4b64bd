package ring_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/shmwire/shmwire/internal/shmtest"
	"github.com/shmwire/shmwire/ring"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// fate is what becomes of a claim.
type fate int

const (
	sent    fate = iota // committed
	aborted             // by its owner
	dead                // its owner died before it wrote a descriptor
	deadIn              // the same in a batch: all descriptors but the first are there
)

// part is one claim of so many slots.
type part struct {
	fate  fate
	slots int
}

// holes are what a consumer may find in a ring of 8 slots, from index at. Every part is the claim of another producer, and
// the next one describes it, so only the last is known from the claim word alone.
var holes = []struct {
	name  string
	at    uint64
	parts []part
}{
	{"at index 0, undescribed", 0, []part{{dead, 1}}},
	{"at index 0, described", 0, []part{{dead, 1}, {sent, 1}}},
	{"at index 0, of many slots", 0, []part{{dead, 3}, {sent, 1}}},
	{"at index 0 of a later lap", 7, []part{{sent, 1}, {dead, 2}, {sent, 2}}},
	{"as the last record, undescribed", 2, []part{{sent, 2}, {sent, 1}, {dead, 2}}},
	{"as the last before the end of the ring", 5, []part{{sent, 2}, {dead, 1}}},
	{"that ends with the ring, and a record behind", 4, []part{{sent, 1}, {dead, 3}, {sent, 3}}},
	{"first of a full ring", 3, []part{{dead, 1}, {sent, 4}, {sent, 3}}},
	{"last of a full ring", 0, []part{{sent, 4}, {sent, 3}, {dead, 1}}},
	{"in the middle of a full ring", 0, []part{{sent, 2}, {dead, 4}, {sent, 2}}},
	{"alone in a full ring", 0, []part{{dead, 4}, {dead, 4}}},
	{"of padding, undescribed", 6, []part{{sent, 1}, {dead, 1}}},
	{"of padding, a record behind it", 6, []part{{dead, 2}, {sent, 4}}},
	{"behind committed padding", 6, []part{{aborted, 2}, {dead, 3}}},
	{"behind committed padding, a record behind it", 6, []part{{aborted, 2}, {dead, 3}, {sent, 3}}},
	{"of padding and of the record behind it", 6, []part{{dead, 2}, {dead, 3}}},
	{"over the wrap, on both sides", 7, []part{{dead, 1}, {dead, 1}, {sent, 1}}},
	{"chain of all the ring", 0, []part{{dead, 1}, {dead, 1}, {dead, 1}, {dead, 1}, {dead, 1}, {dead, 1}, {dead, 1}, {dead, 1}}},
	{"chain over the wrap", 5, []part{{dead, 1}, {dead, 2}, {dead, 1}, {dead, 3}, {sent, 1}}},
	{"between records", 1, []part{{sent, 1}, {dead, 1}, {sent, 1}, {dead, 1}, {sent, 1}, {dead, 1}, {sent, 1}}},
	{"between aborted claims", 2, []part{{aborted, 2}, {dead, 1}, {aborted, 3}, {sent, 1}}},
	{"beside aborted claims at the end", 2, []part{{sent, 1}, {dead, 1}, {aborted, 1}}},
	{"of a batch, undescribed", 0, []part{{sent, 1}, {deadIn, 4}}},
	{"of a batch, described", 0, []part{{deadIn, 4}, {sent, 1}}},
	{"of a batch that ends with the ring", 4, []part{{deadIn, 4}, {sent, 1}, {sent, 2}}},
	{"of a batch in a full ring", 6, []part{{sent, 2}, {deadIn, 4}, {sent, 2}}},
	{"of batches only", 0, []part{{deadIn, 4}, {deadIn, 4}}},
	{"batch behind a claim", 3, []part{{dead, 1}, {deadIn, 3}, {sent, 1}, {aborted, 2}, {deadIn, 1}}},
}

// play makes the parts and returns what the consumer must take, and how many claims it must step over.
func (r *crowd) play(parts []part) (want [][]byte, recovered uint64) {
	r.t.Helper()
	for i, part := range parts {
		p := r.join()
		msg := message(uint32(i), part.slots*r.geo.SlotBytes)
		switch part.fate {
		case sent:
			mustSend(r.t, p, msg)
			want = append(want, msg)
			p.Close()
		case aborted:
			r.open(p, len(msg)).Abort()
			p.Close()
		default:
			at := r.claimAs(p.Owner(), uint64(part.slots))
			for inner := uint64(1); part.fate == deadIn && inner < uint64(part.slots); inner++ {
				r.descriptor(at + inner).Store(committed(r.geo, at+inner, 1))
			}
			r.kill(p)
			recovered++
		}
	}
	return want, recovered
}

// eightAt are positions with index at in a ring of 8 slots, near what overflows.
func eightAt(at uint64) []uint64 {
	return []uint64{at, 1<<32 - 8 + at, 8<<36 - 8 + at, 1<<38 - 8 + at, 1<<63 - 8 + at, 1<<64 - 8 + at}
}

func TestMultiHoles(t *testing.T) {
	geo := ring.Geometry{Slots: 8, SlotBytes: 16}
	for _, tt := range holes {
		for _, start := range eightAt(tt.at) {
			t.Run(fmt.Sprintf("%s/start=%#x", tt.name, start), func(t *testing.T) {
				r := newCrowd(t, geo, startAt(start))
				want, recovered := r.play(tt.parts)
				for _, msg := range want {
					r.mustReceive(msg)
				}
				r.mustEnd()
				end := start
				for _, part := range tt.parts {
					end += uint64(part.slots)
				}
				assert.Equal(t, end, r.c.Position())
				assert.Equal(t, end, r.published(), "the producers must hear of what was stepped over")
				assert.Equal(t, recovered, r.c.Stats().Recovered)
				r.goesOn()
			})
		}
	}
}

// goesOn sends more than a ring full through r.
func (r *crowd) goesOn() {
	r.t.Helper()
	p := r.join()
	for i := range 3 * r.geo.Slots {
		msg := message(uint32(1000+i), min(p.MaxRecord(), 20))
		mustSend(r.t, p, msg)
		r.mustReceive(msg)
	}
	p.Close()
	r.mustEnd()
}

// The same with a consumer that sleeps, and is not rung for a death.
func TestMultiHolesAreSteppedOverAsleep(t *testing.T) {
	geo := ring.Geometry{Slots: 8, SlotBytes: 16}
	for _, tt := range holes {
		t.Run(tt.name, func(t *testing.T) {
			shmtest.Watchdog(t, watch)
			r := newCrowd(t, geo, startAt(tt.at))
			witness := r.join() // so that there is no end
			want, recovered := r.play(tt.parts)
			for _, msg := range want {
				got, err := r.c.Receive(context.Background(), nil)
				require.NoError(t, err)
				require.Equal(t, msg, got)
			}
			last := r.receiver()
			mustSendSoon(t, witness, []byte("the last"))
			got := soon(t, last)
			require.NoError(t, got.err)
			require.Equal(t, "the last", string(got.msg))
			assert.Equal(t, recovered, r.c.Stats().Recovered)
		})
	}
}

func mustSendSoon(t *testing.T, p *ring.Producer, msg []byte) {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- p.Send(context.Background(), msg) }()
	require.NoError(t, shmtest.Soon(t, done, "Send"))
}

// A ring full of the dead has space again as soon as the consumer has looked, and a producer that waits for it gets it.
func TestMultiSenderWaitsForTheSpaceOfTheDead(t *testing.T) {
	for _, geo := range geometries {
		shmtest.Watchdog(t, watch)
		r := newCrowd(t, geo)
		p := r.join()
		for range geo.Slots {
			d := r.join()
			r.claimAs(d.Owner(), 1)
			r.kill(d)
		}
		ok, err := p.TrySend(nil)
		require.NoError(t, err)
		require.False(t, ok)
		last := r.receiver()
		mustSendSoon(t, p, []byte("alive"))
		require.Equal(t, "alive", string(soon(t, last).msg))
		require.Equal(t, uint64(geo.Slots), r.c.Stats().Recovered)
	}
}

// A dead owner may have ended its claim just before it died: between the consumer's look at the descriptor and the proof.
func TestMultiWhatWasEndedJustBeforeDeathCounts(t *testing.T) {
	for _, described := range []bool{false, true} {
		for _, commit := range []bool{false, true} {
			t.Run(fmt.Sprintf("described=%t/commit=%t", described, commit), func(t *testing.T) {
				r := newCrowd(t, ring.Geometry{Slots: 8, SlotBytes: 16}, startAt(6))
				p, other := r.join(), r.join()
				claim := r.open(p, 32)
				copy(claim.Bytes(), "written by one who is dying now.")
				if described {
					mustSend(t, other, []byte("behind"))
				}
				asked := 0
				r.seats.asked = func(owner int) {
					if asked++; owner != p.Owner() || asked > 1 {
						return
					}
					if commit {
						claim.Commit()
					} else {
						claim.Abort()
					}
					r.kill(p)
				}
				if commit {
					r.mustReceive([]byte("written by one who is dying now."))
				}
				if described {
					r.mustReceive([]byte("behind"))
				}
				r.mustFindNothing()
				assert.NotZero(t, asked)
				assert.Zero(t, r.c.Stats().Recovered)
			})
		}
	}
}

// While death is being proven somebody claims behind the dead and describes their claim: it is stepped over once.
func TestMultiHoleIsDescribedWhileDeathIsProven(t *testing.T) {
	r := newCrowd(t, ring.Geometry{Slots: 8, SlotBytes: 16}, startAt(5))
	p, other := r.join(), r.join()
	r.open(p, 40)
	r.kill(p)
	r.seats.asked = func(int) {
		r.seats.asked = nil
		mustSend(t, other, []byte("behind"))
	}
	r.mustReceive([]byte("behind"))
	assert.Equal(t, uint64(1), r.c.Stats().Recovered)
	r.mustFindNothing()
}

func TestMultiAbortInTheMiddle(t *testing.T) {
	withMany(t, 8, func(t *testing.T, r *crowd) {
		a, b, c := r.join(), r.join(), r.join()
		first, middle, last := r.open(a, 1), r.open(b, r.geo.SlotBytes+1), r.open(c, 2)
		copy(first.Bytes(), "1")
		copy(last.Bytes(), "22")
		last.Commit()
		r.mustFindNothing()
		middle.Abort()
		r.mustFindNothing()
		first.Commit()
		r.mustReceive([]byte("1"))
		r.mustReceive([]byte("22"))
		r.mustFindNothing()
		assert.NotZero(t, b.Stats().Skips)
		assert.Equal(t, a.Stats().Skips+b.Stats().Skips+c.Stats().Skips, r.c.Stats().Skips)
	})
}

// A ring full of aborted claims is stepped over within one ring a call, over and over.
func TestMultiAbortedClaimsInARow(t *testing.T) {
	withMany(t, 2, func(t *testing.T, r *crowd) {
		p := r.join()
		n := r.geo.Slots
		for range 5 {
			for range n {
				r.open(p, 1).Abort()
			}
			_, ok, err := p.TryClaim(0)
			require.NoError(t, err)
			require.False(t, ok, "nothing has been given back yet")
			before := r.c.Position()
			mustFindNothing(t, r.c)
			require.Equal(t, before+uint64(n), r.c.Position())
			require.Equal(t, r.c.Position(), r.published())
		}
		mustSend(t, p, []byte("alive"))
		mustReceive(t, r.c, []byte("alive"))
		assert.Equal(t, uint64(5*n), p.Stats().Skips)
		assert.Equal(t, uint64(5*n), r.c.Stats().Skips)
		assert.Zero(t, r.c.Stats().Recovered)
	})
}

// Payloads full of words that would be good descriptors and claims where they lie, and of owners that are dead.
func TestMultiPayloadThatLooksLikeTheProtocol(t *testing.T) {
	geo := ring.Geometry{Slots: 8, SlotBytes: 64}
	for _, start := range eightAt(3) {
		r := newCrowd(t, geo, startAt(start))
		forged := func(at uint64) []byte {
			var b []byte
			for i := range uint64(8) {
				w := desc(geo, at+i, 64, i%4)
				if i == 5 {
					w = claimWord(at, 1, 200)
				}
				b = binary.LittleEndian.AppendUint64(b, w)
			}
			return b
		}
		p := r.join()
		at := start
		for i := range 5 * geo.Slots {
			if i%3 == 0 {
				d := r.join()
				copy(r.open(d, 64).Bytes(), forged(at))
				r.kill(d)
				at++
			}
			claim := r.open(p, 64)
			copy(claim.Bytes(), forged(at))
			if i%4 == 0 {
				claim.Abort()
			} else {
				claim.Commit()
				r.mustReceive(forged(at))
			}
			at++
			r.mustFindNothing()
		}
		require.Equal(t, at, r.c.Position())
	}
}
