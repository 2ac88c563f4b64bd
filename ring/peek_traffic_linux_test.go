package ring_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"syscall"
	"testing"

	"github.com/shmwire/shmwire/internal/shmtest"
	"github.com/shmwire/shmwire/ring"
	"github.com/stretchr/testify/require"
)

// mapped returns n zeroed bytes outside the heap, of which only what is touched takes memory, and where the race detector
// does not see what a process that is not ours would do unseen.
func mapped(t testing.TB, n int) []byte {
	t.Helper()
	const flags = syscall.MAP_PRIVATE | syscall.MAP_ANON | syscall.MAP_NORESERVE
	b, err := syscall.Mmap(-1, 0, n, syscall.PROT_READ|syscall.PROT_WRITE, flags)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, syscall.Munmap(b)) })
	return b
}

// An inspector beside a busy ring gets whole messages, in order, and none twice in one look.
func TestPeekBesideTraffic(t *testing.T) {
	geo := ring.Geometry{Slots: 8, SlotBytes: 1024}
	prod, cons := mapped(t, geo.ProducerBytes()), mapped(t, geo.ConsumerBytes())
	cfg := ring.Config{Geometry: geo, PeerNeverParks: true}
	c, err := ring.NewConsumer(cons, prod, cfg)
	require.NoError(t, err)
	p, err := ring.NewProducer(prod, cons, cfg)
	require.NoError(t, err)
	msgs := make([][]byte, 16)
	for i := range msgs {
		msgs[i] = message(uint32(i), 1000+190*i)
	}
	// However the test ends, nobody uses the memory after that.
	ctx, cancel := context.WithCancel(context.Background())
	var users sync.WaitGroup
	defer func() { cancel(); users.Wait() }()
	users.Go(func() {
		for i := 0; ; i++ {
			if p.Send(ctx, msgs[i%len(msgs)]) != nil {
				return
			}
		}
	})
	users.Go(func() {
		for {
			if _, err := c.Drain(ctx, 2, func([]byte) error { return nil }); err != nil {
				return
			}
		}
	})
	shmtest.Watchdog(t, watch)
	for seen := 0; seen < 2000; {
		w, err := ring.Peek(prod, cons, geo, 9, geo.MaxRecord())
		require.NoError(t, err)
		require.NoError(t, inOrder(w))
		seen += len(w)
		runtime.Gosched() // they may have but one processor
	}
	cancel()
	users.Wait()
	require.NoError(t, errors.Join(p.Err(), c.Err()))
}

// inOrder returns what is wrong with messages that were seen together.
func inOrder(seen []ring.Waiting) error {
	for i, w := range seen {
		if len(w.Message) < 12 {
			return errors.New("too short")
		}
		number := binary.LittleEndian.Uint32(w.Message[4:])
		if err := checkMessage(w.Message, number); err != nil {
			return err
		}
		if i == 0 {
			continue
		}
		if before := binary.LittleEndian.Uint32(seen[i-1].Message[4:]); number != (before+1)%16 || w.Position <= seen[i-1].Position {
			return fmt.Errorf("message %d at %d behind %d at %d", number, w.Position, before, seen[i-1].Position)
		}
	}
	return nil
}
