package ring_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"sync"
	"testing"

	"github.com/shmwire/shmwire/internal/shmtest"
	"github.com/shmwire/shmwire/ring"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestMultiTakeTurns(t *testing.T) {
	for _, geo := range geometries {
		for _, start := range starts(geo) {
			t.Run(fmt.Sprintf("slots=%d/bytes=%d/start=%#x", geo.Slots, geo.SlotBytes, start), func(t *testing.T) {
				r := newCrowd(t, geo, startAt(start))
				a, b := r.join(), r.join()
				require.Equal(t, []int{1, 2}, []int{a.Owner(), b.Owner()})
				for i := range uint32(5 * geo.Slots) {
					for _, p := range []*ring.Producer{a, b} {
						msg := message(i, int(i)%(p.MaxRecord()+1))
						mustSend(t, p, msg)
						mustReceive(t, r.c, msg)
					}
				}
				a.Close()
				mustFindNothing(t, r.c)
				b.Close()
				_, err := r.c.Receive(context.Background(), nil)
				require.Equal(t, io.EOF, err)
			})
		}
	}
}

// TestMultiStress: goroutines on one ring on the heap, so that the race detector sees it. Each producer's messages
// arrive whole and in order, and nothing else does.
func TestMultiStress(t *testing.T) {
	each := 1500
	if testing.Short() {
		each = 250
	}
	for _, mode := range waitModes {
		for _, geo := range geometries {
			t.Run(fmt.Sprintf("%s/slots=%d/bytes=%d", mode.name, geo.Slots, geo.SlotBytes), func(t *testing.T) {
				shmtest.Watchdog(t, 2*watch)
				const producers = 3
				r := newCrowd(t, geo, mode.tweak, startAt(-uint64(each)))
				var senders sync.WaitGroup
				for range producers {
					p := r.join()
					rng := shmtest.Rand(t)
					senders.Go(func() {
						for i := 0; i < each; {
							msgs := [][]byte{}
							for range 1 + rng.IntN(min(4, each-i)) {
								msg := message(uint32(i), max(16, rng.IntN(min(p.MaxRecord(), 3*geo.SlotBytes)+1)))
								binary.LittleEndian.PutUint32(msg[12:], uint32(p.Owner()))
								msgs = append(msgs, msg)
								i++
							}
							if n, err := p.SendBatch(context.Background(), msgs); err != nil || n != len(msgs) {
								assert.NoError(t, err)
								return
							}
						}
						p.Close()
					})
				}
				next := map[uint32]uint32{}
				total := 0
				for msg, err := range r.c.Messages(context.Background()) {
					require.NoError(t, err)
					who := binary.LittleEndian.Uint32(msg[12:])
					require.Equal(t, next[who], binary.LittleEndian.Uint32(msg[4:]), "producer %d", who)
					next[who]++
					total++
				}
				senders.Wait()
				require.Equal(t, producers*each, total)
			})
		}
	}
}
