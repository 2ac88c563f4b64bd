package shmwire_test

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"testing"

	"github.com/shmwire/shmwire/internal/shmtest"
	"github.com/shmwire/shmwire/ring"
	"github.com/shmwire/shmwire/sem"
	"github.com/shmwire/shmwire/shmseg"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The ring of the named segments here: region 0 is the producer's, region 1 the consumer's.
var namedGeometry = ring.Geometry{Slots: 64, SlotBytes: 64}

// namedSide returns how one side of the ring in s sleeps and wakes; own and peer are region and doorbell of each.
func namedSide(s *shmseg.Segment, own, ownBell, peer, peerBell int) (ring.Config, error) {
	bell, err := sem.NewFutexDoorbell(s.Region(own), ownBell, true)
	if err != nil {
		return ring.Config{}, err
	}
	w, err := sem.NewFutexWaiter(s.Region(peer), peerBell)
	return ring.Config{Geometry: namedGeometry, Doorbell: bell, Waiter: w}, err
}

// namedProducerRole opens the segment "ring" in a directory and sends messages from one number to before another, the
// ring's position being start, and then ends in a way: dir, start, from, to, ending.
func namedProducerRole(args []string) int {
	start, _ := strconv.ParseUint(args[1], 10, 64)
	from, _ := strconv.Atoi(args[2])
	to, _ := strconv.Atoi(args[3])
	s, err := shmseg.OpenNamed("ring", shmseg.OpenOptions{Dir: args[0]})
	if err != nil {
		return fail(err)
	}
	cfg, err := namedSide(s, 0, ring.ProducerDoorbellOffset, 1, ring.ConsumerDoorbellOffset)
	if err != nil {
		return fail(err)
	}
	cfg.Start = start
	p, err := ring.NewProducer(s.Region(0), s.Region(1), cfg)
	if err != nil {
		return fail(err)
	}
	for i := from; i < to; i++ {
		if err := p.Send(bg, childMessage(i)); err != nil {
			return fail(err)
		}
	}
	if args[4] == "kill" {
		return end(nil, "kill")
	}
	p.Close()
	return 0
}

// Two processes share a ring in a segment that they found by its name. The sender is killed; what it committed is
// delivered, and its successor finds the segment and goes on.
func TestRingInANamedSegment(t *testing.T) {
	dir := shmtest.ShmDir(t)
	g := namedGeometry
	s, err := shmseg.CreateNamed("ring", shmseg.NamedOptions{Dir: dir, Regions: []int{g.ProducerBytes(), g.ConsumerBytes()}})
	require.NoError(t, err)
	defer func() { assert.NoError(t, errors.Join(s.Remove(), s.Detach())) }()
	cfg, err := namedSide(s, 1, ring.ConsumerDoorbellOffset, 0, ring.ProducerDoorbellOffset)
	require.NoError(t, err)
	died := make(chan struct{})
	errDied := errors.New("the sender died")
	cfg.Stopped = func() error {
		select {
		case <-died:
			return errDied
		default:
			return nil
		}
	}
	c, err := ring.NewConsumer(s.Region(1), s.Region(0), cfg)
	require.NoError(t, err)
	waiter := cfg.Waiter.(*sem.FutexWaiter)
	defer waiter.Close()

	const each = 700
	receive := func(from int) {
		for i := from; i < from+each; i++ {
			msg, err := c.Receive(bg, nil)
			require.NoError(t, err, "message %d", i)
			require.Equal(t, string(childMessage(i)), string(msg))
		}
	}
	child := shmtest.Child(t, "named producer", dir, "0", "0", fmt.Sprint(each), "kill")
	receive(0)
	assert.Equal(t, -1, child.Wait())
	close(died)
	_, err = c.Receive(bg, nil)
	assert.ErrorIs(t, err, errDied)
	assert.NoError(t, s.Stale())

	died = make(chan struct{})
	child = shmtest.Child(t, "named producer", dir, fmt.Sprint(c.Position()), fmt.Sprint(each), fmt.Sprint(2*each), "close")
	receive(each)
	assert.Zero(t, child.Wait())
	_, err = c.Receive(bg, nil)
	assert.Equal(t, io.EOF, err)
}
