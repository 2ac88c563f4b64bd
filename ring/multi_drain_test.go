package ring_test

import (
	"io"
	"testing"

	"github.com/shmwire/shmwire/ring"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// texts returns what Peek sees.
func texts(t *testing.T, r *crowd) (all []string) {
	t.Helper()
	seen, err := ring.Peek(r.prod, r.cons, r.geo, 100, 100)
	require.NoError(t, err)
	for _, w := range seen {
		all = append(all, string(w.Message))
	}
	return all
}

// What is behind an open claim of somebody else waits for it, however it is read.
func TestDrainReadAndPeekStopAtAnOpenClaim(t *testing.T) {
	r := newCrowd(t, ring.Geometry{Slots: 16, SlotBytes: 16})
	one, two := r.join(), r.join()
	mustSend(t, one, []byte("a"))
	c, ok, err := two.TryClaim(1)
	require.NoError(t, err)
	require.True(t, ok)
	mustSend(t, one, []byte("c"))
	assert.Equal(t, []string{"a"}, texts(t, r))
	h := &collector{c: r.c}
	for range 2 * looks {
		_, err := r.c.TryDrain(9, h.handle)
		require.NoError(t, err)
	}
	assert.Equal(t, []string{"a"}, h.got)
	assert.Empty(t, texts(t, r))
	copy(c.Bytes(), "b")
	c.Commit()
	assert.Equal(t, []string{"b", "c"}, texts(t, r))
	n, err := r.c.TryRead(9, func(msg []byte) ring.Action {
		if _ = h.handle(msg); string(msg) == "c" {
			return ring.Rewind
		}
		return ring.Commit
	})
	require.NoError(t, err)
	assert.Equal(t, 1, n)
	assert.Equal(t, []string{"c"}, texts(t, r))
	mustReceive(t, r.c, []byte("c"))
	assert.Equal(t, []string{"a", "b", "c"}, h.got)
}

func TestDrainStepsOverTheClaimOfTheDead(t *testing.T) {
	r := newCrowd(t, ring.Geometry{Slots: 16, SlotBytes: 16})
	one, two := r.join(), r.join()
	_, ok, err := two.TryClaim(40)
	require.NoError(t, err)
	require.True(t, ok)
	mustSend(t, one, []byte("behind"))
	r.seats.die(two.Owner())
	h := &collector{c: r.c}
	for range looks {
		_, err := r.c.TryDrain(9, h.handle)
		require.NoError(t, err)
	}
	assert.Equal(t, []string{"behind"}, h.got)
	assert.Equal(t, uint64(1), r.c.Stats().Recovered)
}

// A new consumer goes on where its predecessor's region says; the producers notice nothing.
func TestConsumerRestartBesideManyProducers(t *testing.T) {
	r := newCrowd(t, ring.Geometry{Slots: 64, SlotBytes: 16})
	one, two := r.join(), r.join()
	mustSend(t, one, []byte("a"))
	mustSend(t, two, []byte("b"))
	mustReceive(t, r.c, []byte("a")) // taken, but given back only after 8 slots or at the end
	old := r.c
	var err error
	r.c, err = ring.NewConsumer(r.cons, r.prod, resumed(r.cc))
	require.NoError(t, err)
	mustReceive(t, r.c, []byte("a"))
	mustReceive(t, r.c, []byte("b"))
	for i := range 200 {
		p := []*ring.Producer{one, two}[i%2]
		mustSend(t, p, message(uint32(i), i%50))
		mustReceive(t, r.c, message(uint32(i), i%50))
	}
	assert.Contains(t, panicOf(t, old.Close), "two consumers on a ring")
	one.Close()
	two.Close()
	_, err = r.c.Drain(t.Context(), 9, func([]byte) error { return nil })
	require.Equal(t, io.EOF, err)
}
