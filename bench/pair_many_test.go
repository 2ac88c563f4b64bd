package bench_test

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/shmwire/shmwire/internal/shmtest"
	"github.com/shmwire/shmwire/shmseg"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func manySpec(producers, batch, size int) spec {
	return row{stream: true, transport: "shm-mpsc", wait: waitSpin, producers: producers, batch: batch, size: size}.spec()
}

func inPlaceSpec(size int) spec {
	return row{stream: true, inPlace: true, transport: "shm", wait: waitSpin, batch: 1, size: size}.spec()
}

func TestManyProducersSendOneStream(t *testing.T) {
	for _, producers := range []int{1, 3, 4} {
		for _, batch := range []int{1, 16} {
			t.Run(fmt.Sprintf("producers=%d/batch=%d", producers, batch), func(t *testing.T) {
				p := mustPair(t, twoCPUs(t), manySpec(producers, batch, 64))
				for range 2 {
					_, r, err := p.stream(0, 10, order{Op: "send", Count: 50}, new(counter), func(e *end) error { return e.burst(50) })
					require.NoError(t, err)
					assert.Equal(t, 50*producers, r.Messages)
					assert.Len(t, r.Blocks, 5*producers)
				}
				s, err := p.streams(0)(2 * time.Millisecond)
				require.NoError(t, err)
				assert.Positive(t, s.messages)
			})
		}
	}
}

func TestMessagesTellTheirProducers(t *testing.T) {
	for _, producers := range []int{1, 2, 3, 4} {
		var numbers []uint64
		for owner := 1; owner <= producers; owner++ {
			e := newEnd(nil, manySpec(producers, 1, 64), owner)
			numbers = append(numbers, e.sent, e.sent+e.step)
		}
		consumer := newEnd(nil, manySpec(producers, 1, 64), 0)
		for i, num := range numbers {
			assert.Equal(t, uint64(i/2), consumer.crowd[num&(consumer.step-1)], "of %d producers", producers)
		}
		slices.Sort(numbers)
		assert.Len(t, slices.Compact(numbers), 2*producers, "no number twice")
	}
}

func TestMissingMessageOfOneOfManyEndsTheRow(t *testing.T) {
	p := mustPair(t, twoCPUs(t), manySpec(2, 1, 64))
	_, _, err := p.stream(0, 0, order{Op: "send", Count: 5}, new(counter), func(e *end) error {
		err := e.blast(5)
		e.sent += e.step
		return errors.Join(err, e.finish())
	})
	assert.ErrorContains(t, err, "message 10: begins with 0x800000000000000c; out of order or spoilt")
}

func TestDeadProducerEndsTheRow(t *testing.T) {
	p := mustPair(t, twoCPUs(t), manySpec(2, 1, 64))
	long := order{Op: "produce", Block: 1, Until: time.Now().Add(time.Hour).UnixNano()}
	_, _, err := p.stream(0, 0, long, new(counter), func(e *end) error {
		p.others[0].child.Kill()
		return e.burst(10)
	})
	assert.ErrorContains(t, err, "peer process ended", "the consumer waits in vain for the dead one's last message")
}

// Nothing is left of the segment if all its processes are killed now.
func TestSegmentOfManyHasNoNameWhileTheyRun(t *testing.T) {
	shmtest.Watchdog(t, time.Minute)
	links := []spec{manySpec(2, 1, 64)}
	_, err := startPair(t, twoCPUs(t), links)
	require.NoError(t, err)
	require.Len(t, links[0].Address, 1)
	_, err = shmseg.OpenNamed(links[0].Address[0], shmseg.OpenOptions{})
	assert.ErrorIs(t, err, os.ErrNotExist)
}

func TestStreamsInPlace(t *testing.T) {
	for _, size := range []int{64, 65536} {
		p := mustPair(t, twoCPUs(t), inPlaceSpec(size))
		_, r, err := p.stream(0, 10, order{}, new(counter), func(e *end) error { return e.burst(50) })
		require.NoError(t, err)
		assert.Equal(t, 50, r.Messages)
		s, err := p.streams(0)(2 * time.Millisecond)
		require.NoError(t, err)
		assert.Positive(t, s.messages)
	}
}

func TestSpoiltMessageInPlaceEndsTheRow(t *testing.T) {
	p := mustPair(t, twoCPUs(t), inPlaceSpec(65536))
	_, _, err := p.stream(0, 0, order{}, new(counter), func(e *end) error {
		if err := e.blast(3); err != nil {
			return err
		}
		e.pattern[700] ^= 1 // ours is no longer the child's
		return e.burst(1)
	})
	assert.ErrorContains(t, err, "message 3: begins with 0x3; out of order or spoilt")
}
