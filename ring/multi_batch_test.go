package ring_test

import (
	"context"
	"testing"

	"github.com/shmwire/shmwire/internal/shmtest"
	"github.com/shmwire/shmwire/ring"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// lastClaim returns start (modulo 2^38), slots and owner of the claim word.
func (r *crowd) lastClaim() (start, slots uint64, owner int) {
	word := r.word(r.prod, ring.ProducerClaimOffset).Load()
	return word >> 26, word >> 8 % (1 << 18), int(word % 256)
}

func (r *crowd) mustSendBatch(p *ring.Producer, msgs [][]byte) {
	r.t.Helper()
	n, err := p.SendBatch(context.Background(), msgs)
	require.NoError(r.t, err)
	require.Equal(r.t, len(msgs), n)
}

// A batch is one claim of no more than the longest record's slots, nor than lie before the end, nor than are free.
func TestMultiBatchIsOneClaim(t *testing.T) {
	for _, tt := range []struct {
		name  string
		start uint64
		ahead int // slots in use
		msgs  []int
		at    uint64 // where the last of its claims starts
		slots uint64
	}{
		{"fits", 3, 0, []int{16, 0, 33}, 3, 5},
		{"one message", 3, 0, []int{40}, 3, 3},
		{"as long as the longest record", 0, 0, make([]int, 32), 0, 32},
		{"longer", 0, 0, make([]int, 33), 32, 1},
		{"much longer", 0, 0, make([]int, 64), 32, 32},
		{"up to the end of the ring", 60, 0, make([]int, 4), 60, 4},
		{"over the end of the ring", 60, 0, make([]int, 6), 64, 2},
		{"over the end, with padding", 62, 0, []int{0, 17, 0}, 64, 3},
		{"first does not fit before the end", 63, 0, []int{17, 0}, 64, 3},
		{"what is free", 0, 50, make([]int, 14), 50, 14},
		{"what is free, over the end", 40, 40, make([]int, 24), 80, 24},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newCrowd(t, ring.Geometry{Slots: 64, SlotBytes: 16}, startAt(tt.start))
			p, q := r.join(), r.join()
			for range tt.ahead {
				mustSend(t, p, nil)
			}
			var msgs [][]byte
			for i, n := range tt.msgs {
				msgs = append(msgs, message(uint32(i), n))
			}
			r.mustSendBatch(q, msgs)
			at, slots, owner := r.lastClaim()
			assert.Equal(t, tt.at, at)
			assert.Equal(t, tt.slots, slots)
			assert.Equal(t, q.Owner(), owner)
			assert.Equal(t, tt.at+tt.slots, q.Position())
			assert.Equal(t, uint64(len(msgs)), q.Stats().Records)
			for range tt.ahead {
				r.mustReceive(nil)
			}
			for _, msg := range msgs {
				r.mustReceive(msg)
			}
			r.mustFindNothing()
		})
	}
}

func TestMultiBatchWithOneTooLargeSendsNothing(t *testing.T) {
	withMany(t, 2, func(t *testing.T, r *crowd) {
		p := r.join()
		n, err := p.SendBatch(context.Background(), [][]byte{nil, nil, make([]byte, p.MaxRecord()+1)})
		requireTooLarge(t, err, p.MaxRecord()+1, p.MaxRecord())
		require.Zero(t, n)
		_, slots, _ := r.lastClaim()
		require.Zero(t, slots)
		r.mustFindNothing()
	})
}

// Two batches take turns when they do not fit: each part is whole, and each producer's messages stay in order.
func TestMultiBatchesThatWaitForSpaceTakeTurns(t *testing.T) {
	for _, geo := range geometries {
		shmtest.Watchdog(t, watch)
		r := newCrowd(t, geo)
		each := 8 * geo.Slots
		done := make(chan error, 2)
		for who := range 2 {
			p := r.join()
			msgs := make([][]byte, each)
			for i := range msgs {
				msgs[i] = []byte{byte(who), byte(i), byte(i >> 8)}
			}
			go func() {
				_, err := p.SendBatch(context.Background(), msgs)
				p.Close()
				done <- err
			}()
		}
		var next [2]int
		for msg, err := range r.c.Messages(context.Background()) {
			require.NoError(t, err)
			require.Equal(t, next[msg[0]], int(msg[1])|int(msg[2])<<8)
			next[msg[0]]++
		}
		require.NoError(t, shmtest.Soon(t, done, "SendBatch"))
		require.NoError(t, shmtest.Soon(t, done, "SendBatch"))
		require.Equal(t, [2]int{each, each}, next)
	}
}

// Whoever waits in the middle of a batch has made what is sent visible, and rung.
func TestMultiBatchThatWaitsIsVisibleSoFar(t *testing.T) {
	var r *crowd
	w := &recorder{}
	r = newCrowd(t, ring.Geometry{Slots: 8, SlotBytes: 16})
	taken := byte(0)
	w.onWait = func() error {
		for range 8 {
			r.mustReceive([]byte{taken})
			taken++
		}
		return nil
	}
	r.pc.Waiter = w
	p := r.join()
	var msgs [][]byte
	for i := range 24 {
		msgs = append(msgs, []byte{byte(i)})
	}
	r.mustSendBatch(p, msgs)
	assert.Equal(t, byte(16), taken)
	assert.Len(t, w.timeouts, 2)
}
