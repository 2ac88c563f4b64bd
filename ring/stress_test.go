package ring_test

import (
	"context"
	"fmt"
	"io"
	"testing"

	"github.com/shmwire/shmwire/internal/shmtest"
	"github.com/shmwire/shmwire/ring"
	"github.com/stretchr/testify/require"
)

// Two goroutines, every way to send against every way to receive, checksummed payloads: nothing torn, lost, invented or
// out of order. On the heap, so that the race detector sees it.
func TestStress(t *testing.T) {
	total := 6000
	if testing.Short() {
		total = 1000
	}
	senders := map[string]func(r *rig, msgs [][]byte) error{"send": sendEach, "claim": claimEach, "batch": sendBatches}
	receivers := map[string]func(r *rig, total int) error{"receive": receiveEach, "next": nextEach}
	for _, mode := range waitModes {
		for sendName, send := range senders {
			for receiveName, receive := range receivers {
				t.Run(fmt.Sprintf("%s/%s/%s", mode.name, sendName, receiveName), func(t *testing.T) {
					geo := geometries[(len(mode.name)+len(sendName)+len(receiveName))%len(geometries)]
					shmtest.Watchdog(t, 2*watch)
					stress(t, newRig(t, geo, mode.tweak, startAt(-uint64(total/2))), total, send, receive)
				})
			}
		}
	}
}

func stress(t *testing.T, r *rig, total int, send func(*rig, [][]byte) error, receive func(*rig, int) error) {
	t.Helper()
	rng := shmtest.Rand(t)
	msgs := make([][]byte, total)
	for i := range msgs {
		longest := r.geo.MaxRecord()
		if rng.IntN(10) > 0 {
			longest = min(longest, 64)
		}
		msgs[i] = message(uint32(i), 12+rng.IntN(longest-11))
	}
	done := make(chan error, 1)
	go func() {
		err := send(r, msgs)
		r.p.Close()
		done <- err
	}()
	require.NoError(t, receive(r, total))
	require.NoError(t, <-done)
	p, c := r.p.Stats(), r.c.Stats()
	require.Equal(t, []uint64{p.Records, p.Bytes, p.Skips, p.Position}, []uint64{c.Records, c.Bytes, c.Skips, c.Position})
	require.Equal(t, uint64(total), c.Records)
}

func sendEach(r *rig, msgs [][]byte) error {
	for _, msg := range msgs {
		if err := r.p.Send(context.Background(), msg); err != nil {
			return err
		}
	}
	return nil
}

func claimEach(r *rig, msgs [][]byte) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for i, msg := range msgs {
		for abort := i%3 == 0; ; abort = false {
			c, err := r.p.Claim(ctx, len(msg))
			if err != nil {
				return err
			}
			copy(c.Bytes(), msg)
			if !abort {
				c.Commit()
				break
			}
			clear(c.Bytes())
			c.Abort()
		}
	}
	return nil
}

func sendBatches(r *rig, msgs [][]byte) error {
	for size := 1; len(msgs) > 0; size = size%50 + 1 {
		part := msgs[:min(size, len(msgs))]
		if n, err := r.p.SendBatch(context.Background(), part); err != nil || n != len(part) {
			return fmt.Errorf("sent %d of %d: %w", n, len(part), err)
		}
		msgs = msgs[len(part):]
	}
	return nil
}

func receiveEach(r *rig, total int) error {
	var buf []byte
	for i := range total {
		var err error
		if buf, err = r.c.Receive(context.Background(), buf); err != nil {
			return err
		}
		if err = checkMessage(buf, uint32(i)); err != nil {
			return err
		}
	}
	return atEnd(r)
}

func nextEach(r *rig, total int) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for i := range total {
		v, err := r.c.Next(ctx)
		if err != nil {
			return err
		}
		if err = checkMessage(v.Bytes(), uint32(i)); err != nil {
			return err
		}
		v.Release()
	}
	return atEnd(r)
}

func atEnd(r *rig) error {
	if _, err := r.c.Next(context.Background()); err != io.EOF {
		return fmt.Errorf("after the last message: %w, want io.EOF", err)
	}
	r.c.Close() // also lets go of the last context
	return nil
}

// Two rings, one message to and fro: each side sleeps and is woken for every one.
func TestPingPong(t *testing.T) {
	for _, mode := range waitModes {
		t.Run(mode.name, func(t *testing.T) {
			geo := ring.Geometry{Slots: 4, SlotBytes: 16}
			there, back := newRig(t, geo, mode.tweak), newRig(t, geo, mode.tweak)
			shmtest.Watchdog(t, watch)
			const rounds = 2000
			done := make(chan error, 1)
			go func() {
				for msg, err := range there.c.Messages(context.Background()) {
					if err == nil {
						err = back.p.Send(context.Background(), msg)
					}
					if err != nil {
						done <- err
						return
					}
				}
				done <- nil
			}()
			for i := range rounds {
				want := message(uint32(i), 16)
				require.NoError(t, there.p.Send(context.Background(), want))
				got, err := back.c.Receive(context.Background(), nil)
				require.NoError(t, err)
				require.Equal(t, want, got)
			}
			there.p.Close()
			require.NoError(t, <-done)
		})
	}
}
