package ring_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/shmwire/shmwire/ring"
)

// BenchmarkAloneMPSC has one goroutine send and receive on an MPSC ring: what the instructions cost when no cache line
// moves.
func BenchmarkAloneMPSC(b *testing.B) {
	for _, mode := range benchModes {
		for _, batch := range []int{1, 16} {
			b.Run(fmt.Sprintf("wait=%s/batch=%d/size=64", mode.name, batch), func(b *testing.B) {
				r := newCrowd(b, ring.Geometry{Slots: 4096, SlotBytes: 64}, mode.tweak)
				p := r.join()
				msgs := make([][]byte, batch)
				for i := range msgs {
					msgs[i] = make([]byte, 64)
				}
				buf := make([]byte, 0, 64)
				b.ReportAllocs()
				for left := b.N; left > 0; left -= batch {
					if n, err := p.SendBatch(context.Background(), msgs[:min(batch, left)]); err != nil {
						b.Fatal(n, err)
					}
					for range min(batch, left) {
						if _, ok, err := r.c.TryReceive(buf); !ok {
							b.Fatal(err)
						}
					}
				}
			})
		}
		b.Run(fmt.Sprintf("wait=%s/send/size=64", mode.name), func(b *testing.B) {
			r := newCrowd(b, ring.Geometry{Slots: 4096, SlotBytes: 64}, mode.tweak)
			p := r.join()
			msg, buf := make([]byte, 64), make([]byte, 0, 64)
			b.ReportAllocs()
			for b.Loop() {
				if ok, err := p.TrySend(msg); !ok {
					b.Fatal(err)
				}
				if _, ok, err := r.c.TryReceive(buf); !ok {
					b.Fatal(err)
				}
			}
		})
	}
}
