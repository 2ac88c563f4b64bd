package ring_test

import (
	"fmt"
	"testing"

	"github.com/shmwire/shmwire/internal/mem"
	"github.com/shmwire/shmwire/ring"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// as makes a producer that goes by number owner, 0 for any.
func (r *crowd) as(owner int) (*ring.Producer, error) {
	cfg := r.pc
	cfg.Owner = owner
	return ring.NewProducer(r.prod, r.cons, cfg)
}

func (r *crowd) mustBe(owner int) *ring.Producer {
	r.t.Helper()
	p, err := r.as(owner)
	require.NoError(r.t, err)
	if owner != 0 {
		require.Equal(r.t, owner, p.Owner())
	}
	return p
}

func requireOwners(t *testing.T, err error, want ring.OwnersError) {
	t.Helper()
	require.ErrorIs(t, err, ring.ErrOwners)
	var got *ring.OwnersError
	require.ErrorAs(t, err, &got)
	require.Equal(t, want, *got)
	require.Contains(t, err.Error(), fmt.Sprint(want.Taken))
	require.Contains(t, err.Error(), fmt.Sprint(want.Waiting))
}

func TestMultiOwnerNumbersGoFrom1To255(t *testing.T) {
	r := newCrowd(t, ring.Geometry{Slots: 512, SlotBytes: 16})
	var all []*ring.Producer
	for owner := 1; owner <= ring.Owners; owner++ {
		p := r.join()
		require.Equal(t, owner, p.Owner())
		require.Equal(t, uint64(owner), r.word(r.prod, ring.ProducerClosedOffset).Load(), "highest number")
		all = append(all, p)
	}
	before := r.data.rings.Load()
	words := append([]byte(nil), r.prod...)
	_, err := r.as(0)
	requireOwners(t, err, ring.OwnersError{Taken: 255})
	assert.Equal(t, words, r.prod, "an error comes before anything is written")
	assert.Equal(t, before, r.data.rings.Load())

	for i, p := range all { // all of them send
		mustSend(t, p, message(uint32(i), 16))
	}
	for i := range all {
		r.mustReceive(message(uint32(i), 16))
	}
	r.mustFindNothing()

	for _, p := range all[:7] { // dead inside a claim that the consumer has not passed
		r.open(p, 1)
		r.kill(p)
	}
	_, err = r.as(0)
	requireOwners(t, err, ring.OwnersError{Taken: 248, Waiting: 7})
	_, err = r.as(3)
	requireOwners(t, err, ring.OwnersError{Owner: 3, Waiting: 1})
	_, err = r.as(8)
	requireOwners(t, err, ring.OwnersError{Owner: 8, Taken: 1})

	r.mustFindNothing() // and so passes them
	for owner := 1; owner <= 7; owner++ {
		require.Equal(t, owner, r.mustBe(0).Owner())
	}
	all[254].Close()
	require.Equal(t, 255, r.mustBe(0).Owner())
	_, err = r.as(0)
	requireOwners(t, err, ring.OwnersError{Taken: 255})
}

func TestMultiExplicitNumbers(t *testing.T) {
	r := newCrowd(t, ring.Geometry{Slots: 8, SlotBytes: 16})
	for _, owner := range []int{-1, 256, 1 << 30} {
		_, err := r.as(owner)
		require.ErrorContains(t, err, fmt.Sprintf("Owner is %d, want 1 to 255", owner))
		require.NotErrorIs(t, err, ring.ErrOwners)
		_, err = ring.Join(t.Context(), r.prod, r.cons, ring.Config{Geometry: r.geo, PeerNeverParks: true, Owner: owner})
		require.ErrorContains(t, err, fmt.Sprintf("Owner is %d, want 1 to 255", owner))
	}
	_, err := ring.NewProducer(r.prod, r.cons, ring.Config{
		Geometry: ring.Geometry{Slots: 8, SlotBytes: 16}, PeerNeverParks: true, Owner: 1,
	})
	require.ErrorContains(t, err, "Owner is 1, want 0 on a ring with one producer")
	require.Equal(t, make([]byte, len(r.prod)), r.prod, "an error comes before anything is written")

	last := r.mustBe(255)
	assert.Equal(t, uint64(255), r.word(r.prod, ring.ProducerClosedOffset).Load(), "highest number")
	r.mustBe(9)
	assert.Equal(t, uint64(255), r.word(r.prod, ring.ProducerClosedOffset).Load(), "never lowered")
	_, err = r.as(255)
	requireOwners(t, err, ring.OwnersError{Owner: 255, Taken: 1})
	require.Equal(t, 1, r.mustBe(0).Owner(), "the lowest that is free")
	mustSend(t, last, []byte("from 255"))
	r.mustReceive([]byte("from 255"))
}

func TestMultiWrongWaysToJoin(t *testing.T) {
	geo := ring.Geometry{Slots: 8, SlotBytes: 16, MPSC: true}
	prod, cons := region(t, "producer", geo.ProducerBytes()), region(t, "consumer", geo.ConsumerBytes())
	good := ring.Config{Geometry: geo, PeerNeverParks: true}
	single := good
	single.MPSC = false
	late := good
	late.Start = 5
	bell := good
	bell.PeerNeverParks = false
	for _, tt := range []struct {
		name       string
		prod, cons []byte
		cfg        ring.Config
		want       string
	}{
		{"one producer", prod, cons, single, "Geometry.MPSC is not set"},
		{"producer region too short", prod[:len(prod)-1], cons, good, fmt.Sprintf("producer region has %d bytes, want %d", len(prod)-1, len(prod))},
		{"of an SPSC ring", prod[:single.ProducerBytes()], cons, good, "producer region has"},
		{"consumer region too short", prod, cons[:895], good, "consumer region has 895 bytes, want 896"},
		{"misaligned", prod[8:], cons, good, "producer region"},
		{"another start than the consumer's", prod, cons, late, "start at position 5: the consumer's region says 0"},
		{"no doorbell", prod, cons, bell, "Doorbell is nil"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, err := ring.Join(t.Context(), tt.prod, tt.cons, tt.cfg)
			require.ErrorContains(t, err, tt.want)
			require.Nil(t, p)
			require.Equal(t, make([]byte, len(prod)), prod, "an error comes before anything is written")
		})
	}
}

func TestMultiOwnerTableNamesTheProcess(t *testing.T) {
	r := newCrowd(t, ring.Geometry{Slots: 8, SlotBytes: 16})
	r.pc.PID, r.pc.StartTime = 4711, 0x123456789abcdef0
	r.join()
	p := r.mustBe(3)
	entry := ring.ProducerOwnersOffset + 3*ring.OwnerBytes
	assert.Equal(t, uint64(4711), mem.Uint64At(r.prod, entry+8).Load())
	assert.Equal(t, uint64(0x123456789abcdef0), mem.Uint64At(r.prod, entry+16).Load())
	assert.Equal(t, uint64(1<<1), r.owner(3).Load())
	assert.Zero(t, r.owner(2).Load(), "never used")
	p.Close()
	assert.Equal(t, uint64(1<<1|1), r.owner(3).Load())

	r.pc.PID = 4712
	r.mustBe(3)
	assert.Equal(t, uint64(4712), mem.Uint64At(r.prod, entry+8).Load())
	assert.Equal(t, uint64(2<<1), r.owner(3).Load(), "one generation for each bearer")
}

// Statistics of each owner stand in its entry, and those of a new bearer begin at 0.
func TestMultiOwnerTableHasTheStatistics(t *testing.T) {
	r := newCrowd(t, ring.Geometry{Slots: 8, SlotBytes: 16})
	r.join()
	p := r.mustBe(2)
	records := mem.Uint64At(r.prod, ring.ProducerOwnersOffset+2*ring.OwnerBytes+24)
	for range 3 {
		mustSend(t, p, nil)
		r.mustReceive([]byte{})
	}
	p.Close()
	assert.Equal(t, uint64(3), records.Load())
	assert.Equal(t, uint64(3), p.Stats().Records)
	r.mustBe(2)
	assert.Zero(t, records.Load())
}

func TestMultiClosedNumberIsReusedAtOnce(t *testing.T) {
	withMany(t, 4, func(t *testing.T, r *crowd) {
		witness := r.join()
		for i := range uint64(20) {
			p := r.mustBe(2)
			require.Equal(t, (i+1)<<1, r.owner(2).Load())
			claim := r.open(p, 1) // the consumer has not passed this, and need not: it ends in order
			if i%2 == 0 {
				claim.Abort()
			}
			p.Close()
			require.Equal(t, (i+1)<<1|1, r.owner(2).Load())
			if i%3 == 2 {
				r.mustFindNothing()
			}
		}
		mustSend(t, witness, []byte("x"))
		r.mustReceive([]byte("x"))
		assert.Zero(t, r.c.Stats().Recovered)
	})
}
