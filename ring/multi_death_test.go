package ring_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/shmwire/shmwire/internal/shmtest"
	"github.com/shmwire/shmwire/ring"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// lives counts what each producer has sent whose Send returned nil, by the number of its life.
type lives struct {
	mu   sync.Mutex
	sent []int
	dead int // with a claim left open
}

func (l *lives) begin() (life int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent = append(l.sent, 0)
	return len(l.sent) - 1
}

func (l *lives) end(life, sent int, left bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent[life] = sent
	if left {
		l.dead++
	}
}

// live is one life of a producer: it joins, sends, and closes or dies, perhaps in the middle of a claim.
func (r *crowd) live(l *lives, rng *rand.Rand) error {
	p, err := ring.Join(context.Background(), r.prod, r.cons, r.pc)
	if err != nil {
		return err
	}
	life, sent := l.begin(), 0
	next := func() []byte {
		msg := message(uint32(sent), 16+rng.IntN(3*r.geo.SlotBytes))
		binary.LittleEndian.PutUint32(msg[12:], uint32(life))
		sent++
		return msg
	}
	for range rng.IntN(40) {
		switch rng.IntN(3) {
		case 0:
			err = p.Send(context.Background(), next())
		case 1:
			_, err = p.SendBatch(context.Background(), [][]byte{next(), next(), next()})
		default:
			var c ring.Claim
			if c, err = p.Claim(context.Background(), rng.IntN(p.MaxRecord()+1)); err == nil {
				c.Abort()
			}
		}
		if err != nil {
			return err
		}
	}
	end := rng.IntN(3)
	switch end {
	case closes:
		p.Close()
	case diesInAClaim:
		err = r.abandon(p, rng)
		r.kill(p)
	default:
		r.kill(p)
	}
	l.end(life, sent, end == diesInAClaim)
	return err
}

// How a life ends; 0 is death between two calls.
const (
	closes = 1 + iota
	diesInAClaim
)

// abandon leaves a claim open.
func (r *crowd) abandon(p *ring.Producer, rng *rand.Rand) error {
	c, err := p.Claim(context.Background(), rng.IntN(p.MaxRecord()+1))
	if err != nil {
		return err
	}
	clear(c.Bytes())
	return nil
}

// Producers come, send, close and die in the middle, at the same time and over and over, under few numbers: what was sent
// arrives once and in order, whatever else happened, and every claim left behind is stepped over once.
func TestMultiStressWithDeaths(t *testing.T) {
	rounds := 40
	if testing.Short() {
		rounds = 12
	}
	for _, mode := range waitModes {
		for _, geo := range []ring.Geometry{{Slots: 8, SlotBytes: 64}, {Slots: 64, SlotBytes: 16}} {
			t.Run(fmt.Sprintf("%s/slots=%d", mode.name, geo.Slots), func(t *testing.T) {
				shmtest.Watchdog(t, 2*watch)
				r := newCrowd(t, geo, mode.tweak, startAt(1<<38-100))
				witness := r.join() // so that there is no end
				l := &lives{}
				var all sync.WaitGroup
				for range 3 {
					rng := shmtest.Rand(t)
					all.Go(func() {
						for range rounds {
							if err := r.live(l, rng); err != nil {
								assert.NoError(t, err)
								return
							}
						}
					})
				}
				go func() { all.Wait(); witness.Close() }()
				got := map[uint32]int{}
				for msg, err := range r.c.Messages(context.Background()) {
					require.NoError(t, err)
					require.GreaterOrEqual(t, len(msg), 16)
					life := binary.LittleEndian.Uint32(msg[12:])
					require.Equal(t, got[life], int(binary.LittleEndian.Uint32(msg[4:])), "life %d", life)
					got[life]++
				}
				all.Wait()
				for life, sent := range l.sent {
					require.Equal(t, sent, got[uint32(life)], "life %d", life)
				}
				require.Equal(t, uint64(l.dead), r.c.Stats().Recovered)
			})
		}
	}
}
