package ring_test

import (
	"context"
	"fmt"
	"io"
	"testing"

	"github.com/shmwire/shmwire/ring"
)

var benchModes = []struct {
	name  string
	tweak tweak
}{
	{"spin", spinning},
	{"fenced", neverParking}, // spins too, but pays for a peer that might sleep
	{"park", func(p, c *ring.Config) {}},
}

func BenchmarkSend(b *testing.B) {
	for _, mode := range benchModes {
		for _, size := range []int{8, 64, 1024} {
			b.Run(fmt.Sprintf("wait=%s/size=%d", mode.name, size), func(b *testing.B) {
				r := newRig(b, ring.Geometry{Slots: 4096, SlotBytes: 64}, mode.tweak)
				msg := make([]byte, size)
				stream(b, r, size, func() error {
					for range b.N {
						if err := r.p.Send(context.Background(), msg); err != nil {
							return err
						}
					}
					return nil
				})
			})
		}
	}
}

func BenchmarkBatch(b *testing.B) {
	for _, mode := range benchModes {
		for _, batch := range []int{16, 64} {
			b.Run(fmt.Sprintf("wait=%s/batch=%d/size=64", mode.name, batch), func(b *testing.B) {
				r := newRig(b, ring.Geometry{Slots: 4096, SlotBytes: 64}, mode.tweak)
				msgs := make([][]byte, batch)
				for i := range msgs {
					msgs[i] = make([]byte, 64)
				}
				stream(b, r, 64, func() error {
					for left := b.N; left > 0; left -= batch {
						if _, err := r.p.SendBatch(context.Background(), msgs[:min(batch, left)]); err != nil {
							return err
						}
					}
					return nil
				})
			})
		}
	}
}

// BenchmarkAlone has one goroutine do both: what the instructions cost when no cache line moves.
func BenchmarkAlone(b *testing.B) {
	for _, mode := range benchModes {
		for _, size := range []int{64, 1024} {
			b.Run(fmt.Sprintf("wait=%s/size=%d", mode.name, size), func(b *testing.B) {
				r := newRig(b, ring.Geometry{Slots: 4096, SlotBytes: 64}, mode.tweak)
				msg, buf := make([]byte, size), make([]byte, 0, size)
				b.ReportAllocs()
				b.SetBytes(int64(size))
				for b.Loop() {
					if ok, err := r.p.TrySend(msg); !ok {
						b.Fatal(err)
					}
					if _, ok, err := r.c.TryReceive(buf); !ok {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// stream runs send in a goroutine of its own and takes everything here.
func stream(b *testing.B, r *rig, size int, send func() error) {
	b.Helper()
	b.ReportAllocs()
	b.SetBytes(int64(size))
	done := make(chan error, 1)
	b.ResetTimer()
	go func() {
		err := send()
		r.p.Close()
		done <- err
	}()
	buf := make([]byte, 0, size)
	for {
		msg, err := r.c.Receive(context.Background(), buf)
		if err == io.EOF {
			break
		}
		if err != nil || len(msg) != size {
			b.Fatalf("%d bytes, %v", len(msg), err)
		}
	}
	if err := <-done; err != nil {
		b.Fatal(err)
	}
}
