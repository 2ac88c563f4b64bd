package ring_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/shmwire/shmwire/internal/mem"
	"github.com/shmwire/shmwire/internal/shmtest"
	"github.com/shmwire/shmwire/ring"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The consumer stands at position 13 of 8 slots of 16 bytes: index 5, lap 1, three slots left, records up to 64 bytes.
func TestMultiConsumerRefusesBadWords(t *testing.T) {
	shmtest.Watchdog(t, watch)
	const at = 13
	geo := ring.Geometry{Slots: 8, SlotBytes: 16}
	busy := func(owner, slots uint64) uint64 { return desc(geo, at, owner<<18|slots, 1) }
	for _, tt := range []struct {
		name        string
		descriptor  uint64
		claim       uint64
		field, want string
		got         uint64
	}{
		{"record longer than any", desc(geo, at, 65, 2), 0, "record length", "at most 64", 65},
		{"record over the end", desc(geo, at, 49, 2), 0, "record length", "at most 3 slots of 16 bytes", 49},
		{"skip of nothing", desc(geo, at, 0, 3), 0, "skip", "1 to 3 slots", 0},
		{"skip over the end", desc(geo, at, 4, 3), 0, "skip", "1 to 3 slots", 4},
		{"skip without end", desc(geo, at, 1<<26-1, 3), 0, "skip", "1 to 3 slots", 1<<26 - 1},
		{"busy with nothing", busy(7, 0), 0, "busy descriptor", "1 to 3 slots", 0},
		{"busy over the end", busy(7, 4), 0, "busy descriptor", "1 to 3 slots", 4},
		{"busy without end", busy(7, 1<<18-1), 0, "busy descriptor", "1 to 3 slots", 1<<18 - 1},
		{"busy for nobody", busy(0, 3), 0, "busy descriptor", "an owner number from 1 to 255", 0},
		{"claim over the end", 0, claimWord(at, 4, 7), "claim word", "1 to 3 slots", 4},
		{"claim without end", 0, claimWord(at, 1<<18-1, 7), "claim word", "1 to 3 slots", 1<<18 - 1},
		{"claim for nobody", 0, claimWord(at, 3, 0), "claim word", "an owner number from 1 to 255", 0},
		{"claim behind what nobody has described", 0, claimWord(at+1, 1, 7), "claim word", "a claim that starts or ends at 13, since nothing is described there", claimWord(at+1, 1, 7)},
		{"claim before that", 0, claimWord(at-2, 1, 7), "claim word", "a claim that starts or ends at 13, since nothing is described there", claimWord(at-2, 1, 7)},
		{"claim far away", 0, claimWord(1<<37, 3, 7), "claim word", "a claim that starts or ends at 13, since nothing is described there", claimWord(1<<37, 3, 7)},
	} {
		for name, dead := range map[string]func(int) bool{
			"all dead": func(int) bool { return true }, "all alive": func(int) bool { return false }, "in doubt": nil,
		} {
			t.Run(tt.name+"/"+name, func(t *testing.T) {
				r := newCrowd(t, geo, startAt(at))
				cfg := r.cc
				cfg.ProvenDead = dead
				c, err := ring.NewConsumer(r.cons, r.prod, cfg)
				require.NoError(t, err)
				r.descriptor(at).Store(tt.descriptor)
				r.word(r.prod, ring.ProducerClaimOffset).Store(tt.claim)
				_, err = c.Receive(context.Background(), nil)
				requireCorrupt(t, err, ring.CorruptError{
					Region: "producer", Field: tt.field, Position: at, Got: tt.got, Want: tt.want,
				}, consumerCalls(c)...)
			})
		}
	}
}

// A producer of an MPSC ring refuses what one of an SPSC ring refuses (TestProducerRefusesBadPositions), also when nobody
// has claimed anything yet, and when another has claimed what the consumer says it has given back.
func TestMultiProducerRefusesBadPositions(t *testing.T) {
	withMany(t, 4, func(t *testing.T, r *crowd) {
		start := r.c.Position()
		position := r.word(r.cons, ring.ConsumerPositionOffset)
		for _, lie := range []uint64{start + 1, start + 1<<38, start - 1, start + 1<<63, start - 1<<38} {
			position.Store(start)
			p := r.join()
			position.Store(lie)
			_, err := p.TrySend(nil)
			requireCorrupt(t, err, ring.CorruptError{
				Region: "consumer", Field: "position", Position: start, Got: lie, Want: fmt.Sprintf("%d to %d", start, start),
			}, producerCalls(p)...)
			require.Zero(t, r.word(r.prod, ring.ProducerClaimOffset).Load())
		}

		position.Store(start)
		n := uint64(fill(t, r.join()))
		for _, lie := range []uint64{start + n + 1, start - 1, start - n, start + 1<<37, start + 1<<63} {
			position.Store(start)
			p := r.join()
			before := r.word(r.prod, ring.ProducerClaimOffset).Load()
			position.Store(lie)
			_, _, err := p.TryClaim(1)
			requireCorrupt(t, err, ring.CorruptError{
				Region: "consumer", Field: "position", Position: start, Got: lie, Want: fmt.Sprintf("%d to %d", start, start+n),
			}, producerCalls(p)...)
			require.Equal(t, before, r.word(r.prod, ring.ProducerClaimOffset).Load())
		}
	})
}

// The claim word has 38 bits of a position: a lie of exactly 2^38 cannot be told, does no harm but to the liar, and is
// found out as soon as it is taken back.
func TestMultiProducerGoesForwardWithALieOf2To38(t *testing.T) {
	r := newCrowd(t, ring.Geometry{Slots: 8, SlotBytes: 16})
	p := r.join()
	mustSend(t, p, nil)
	r.mustReceive(nil)
	position := r.word(r.cons, ring.ConsumerPositionOffset)
	position.Store(1<<38 + 1)
	mustSend(t, p, nil)
	assert.Equal(t, uint64(1<<38+2), p.Position())
	position.Store(1)
	_, err := p.TrySend(nil)
	requireCorrupt(t, err, ring.CorruptError{
		Region: "consumer", Field: "position", Position: 1<<38 + 2, Got: 1, Want: fmt.Sprintf("%d to %d", uint64(1<<38+1), uint64(1<<38+2)),
	}, producerCalls(p)...)
}

// ... but not one so large that the position it leads to looks like one from which it went back.
func TestMultiProducerRefusesALieThatNobodyLivesToSee(t *testing.T) {
	for _, far := range []uint64{1 << 62, 1<<62 + 1<<38, 1 << 63, 1<<64 - 1<<38} { // all of them multiples of 2^38
		r := newCrowd(t, ring.Geometry{Slots: 8, SlotBytes: 16})
		p := r.join()
		mustSend(t, p, nil)
		r.mustReceive(nil)
		r.word(r.cons, ring.ConsumerPositionOffset).Store(1 + far)
		_, err := p.TrySend(nil)
		requireCorrupt(t, err, ring.CorruptError{
			Region: "consumer", Field: "position", Position: 1, Got: 1 + far, Want: "0 to 1",
		}, producerCalls(p)...)
	}
}

// A producer that waits hears of a lie too.
func TestMultiSleepingProducerHearsOfALie(t *testing.T) {
	r := newCrowd(t, ring.Geometry{Slots: 4, SlotBytes: 16})
	p := r.join()
	fill(t, p)
	done := make(chan error, 1)
	go func() { done <- p.Send(context.Background(), nil) }()
	shmtest.StillBlocked(t, done, "Send on a full ring")
	r.word(r.cons, ring.ConsumerPositionOffset).Store(99)
	r.space.Ring()
	require.ErrorIs(t, shmtest.Soon(t, done, "Send"), ring.ErrCorrupt)
}

// Whatever the claim word says, a call of a producer ends after bounded work, stays within the regions (the rig's guards),
// and is an error or not; nobody claims more than a ring.
func TestMultiProducerWithABadClaimWord(t *testing.T) {
	for _, start := range []uint64{0, 1<<38 - 3, math.MaxUint64 - 2} {
		for _, word := range []uint64{
			claimWord(start, 1<<18-1, 255), claimWord(start+4, 8, 0), claimWord(start-1, 1<<18-1, 9), claimWord(start, 0, 7),
			claimWord(1<<37, 1, 1), 1, 1 << 8, math.MaxUint64, claimWord(start+8, 1, 1), claimWord(start+1<<20, 8, 3),
		} {
			r := newCrowd(t, ring.Geometry{Slots: 8, SlotBytes: 16}, startAt(start))
			r.pc.Stopped = stopAtOnce
			p := r.join()
			r.word(r.prod, ring.ProducerClaimOffset).Store(word)
			for i := range 30 {
				_, err := p.TrySend(message(1, i%4*16))
				bounded(t, err)
				_, err = p.SendBatch(context.Background(), [][]byte{nil, message(2, 40), nil})
				bounded(t, err)
				if c, ok, err := p.TryClaim(64); ok {
					clear(c.Bytes())
					c.Abort()
				} else {
					bounded(t, err)
				}
			}
			p.Close()
		}
	}
}

// A record that was seen already turns into a claim while DrainAtMost holds it back: what OnStall is told makes sense.
func TestMultiStallWhereARecordWas(t *testing.T) {
	r := newCrowd(t, ring.Geometry{Slots: 8, SlotBytes: 16})
	var told []ring.Stall
	cfg := r.cc
	cfg.OnStall = func(s ring.Stall) { told = append(told, s) }
	c, err := ring.NewConsumer(r.cons, r.prod, cfg)
	require.NoError(t, err)
	p := r.join()
	mustSend(t, p, []byte{1})
	mustSend(t, p, []byte{2})
	mustReceive(t, c, []byte{1})
	c.DrainAtMost(1)
	r.descriptor(1).Store(desc(r.geo, 1, uint64(p.Owner())<<18|1, 1))
	for range looks {
		mustFindNothing(t, c)
	}
	require.Len(t, told, 1)
	assert.Equal(t, ring.Stall{Owner: p.Owner(), Position: 1, Slots: 1, Age: told[0].Age}, told[0])
}

// The producer region is rewritten all the time, words that are nearly right and others, while the consumer works. It
// neither panics nor loops, and never goes back or further than a ring a call. The words are on the heap, so that the
// race detector sees how they are read.
func TestMultiConsumerWhileTheRegionIsRewritten(t *testing.T) {
	rounds := 1000
	if testing.Short() {
		rounds = 300
	}
	for _, geo := range geometries {
		t.Run(fmt.Sprintf("slots=%d/bytes=%d", geo.Slots, geo.SlotBytes), func(t *testing.T) {
			shmtest.Watchdog(t, 2*watch)
			geo.MPSC = true
			prod, cons := region(t, "producer", geo.ProducerBytes()), region(t, "consumer", geo.ConsumerBytes())
			rng := shmtest.Rand(t)
			var at atomic.Uint64
			stop, stopped := make(chan struct{}), make(chan struct{})
			go func() {
				defer close(stopped)
				for i := 0; ; i++ {
					select {
					case <-stop:
						return
					default:
						rewriteNear(rng.Uint64, geo, prod, at.Load())
						if i%256 == 0 {
							runtime.Gosched() // there may be but one processor
						}
					}
				}
			}()
			taken, corrupt := 0, 0
			for taken < rounds || corrupt < rounds {
				runtime.Gosched()
				start := at.Load()
				c, err := ring.NewConsumer(cons, prod, ring.Config{
					Geometry: geo, Start: start, PeerNeverParks: true, Stopped: stopAtOnce,
					ProvenDead: func(owner int) bool { return owner%2 == 0 },
				})
				require.NoError(t, err)
				for range 200 {
					before := c.Position()
					v, ok, err := c.TryNext()
					if moved := c.Position() - before; moved > 2*uint64(geo.Slots)*1024 {
						t.Fatalf("moved from %d by %d slots", before, moved)
					}
					at.Store(c.Position())
					if errors.Is(err, ring.ErrCorrupt) {
						corrupt++
						break
					}
					require.True(t, err == nil || err == io.EOF, "%v", err)
					if ok {
						taken++
						require.LessOrEqual(t, len(v.Bytes()), geo.MaxRecord())
						v.Release()
					}
				}
			}
			close(stop)
			<-stopped
		})
	}
}

// rewriteNear writes one word of the producer region near position at, half of the time one that could be there.
func rewriteNear(draw func() uint64, geo ring.Geometry, prod []byte, at uint64) {
	n := uint64(geo.Slots)
	where := at + draw()%4
	left := n - where%n
	slots := 1 + draw()%left
	if draw()%16 == 0 {
		slots = draw() % (1 << 18)
	}
	owner := draw() % 256
	switch draw() % 8 {
	case 0:
		mem.Uint64At(prod, ring.ProducerClaimOffset).Store(claimWord(where, slots, int(owner)))
	case 1:
		mem.Uint64At(prod, ring.ProducerClaimOffset).Store(claimWord(at-slots, slots, int(owner)))
	case 2:
		mem.Uint64At(prod, ring.ProducerOwnersOffset+int(owner)*ring.OwnerBytes).Store(draw() >> (draw() % 64))
	case 3:
		mem.Uint64At(prod, ring.ProducerClosedOffset).Store(draw() >> (draw() % 64))
	default:
		x := []uint64{draw(), owner<<18 | slots, slots * uint64(geo.SlotBytes), slots}
		state := draw() % 4
		if draw()%64 == 0 {
			x[state] = draw()
		}
		mem.Uint64At(prod, geo.DescriptorsOffset()+8*int(where%n)).Store(desc(geo, where, x[state], state))
	}
}
