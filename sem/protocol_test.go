package sem_test

import (
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"github.com/shmwire/shmwire/internal/mem"
	"github.com/shmwire/shmwire/internal/shmtest"
	"github.com/shmwire/shmwire/sem"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The words of one side, each written by that side alone.
const (
	publishedAt = 0
	parksAt     = mem.LineBytes
	doorbellAt  = 2 * mem.LineBytes
	regionBytes = 4096
)

// side is one end of a ping-pong that sleeps and wakes as the package documentation says.
type side struct {
	published, parks         *atomic.Uint64 // own
	peerPublished, peerParks *atomic.Uint64
	bell                     sem.Doorbell
	waiter                   sem.Waiter
	rung                     uint64
	rings, waits             int
}

// attach is how a waker begins: whoever sleeps already is woken.
func attach(own, peer []byte, bell sem.Doorbell, w sem.Waiter) *side {
	s := &side{
		published: mem.Uint64At(own, publishedAt), parks: mem.Uint64At(own, parksAt),
		peerPublished: mem.Uint64At(peer, publishedAt), peerParks: mem.Uint64At(peer, parksAt),
		bell: bell, waiter: w,
	}
	s.rung = s.peerParks.Load() - 1
	s.bell.Ring()
	return s
}

func (s *side) publish() {
	s.published.Add(1) // also the fence
	if p := s.peerParks.Load(); p != s.rung {
		s.bell.Ring()
		s.rings++
		s.rung = p
	}
}

func (s *side) await(n uint64) error {
	for s.peerPublished.Load() < n {
		v := s.waiter.Load()
		s.parks.Add(1) // also the fence
		if s.peerPublished.Load() >= n {
			return nil
		}
		s.waits++
		if err := s.waiter.Wait(v, -1); err != nil {
			return err
		}
	}
	return nil
}

// play answers (or, with serve, opens) the given number of rounds. step is called now and then.
func (s *side) play(rounds uint64, serve bool, rng *rand.Rand, step func()) error {
	for n := uint64(1); n <= rounds; n++ {
		if serve {
			s.publish()
		}
		if err := s.await(n); err != nil {
			return fmt.Errorf("round %d: %w", n, err)
		}
		// Let the peer be anywhere in its way to sleep when the answer comes, in every second round.
		if n&1 == 1 {
			mem.Pause(rng.Uint32N(256))
		}
		if !serve {
			s.publish()
		}
		if n%stepRounds == 0 {
			step()
		}
	}
	return nil
}

const stepRounds = 500

func pingPongRounds() uint64 {
	if testing.Short() {
		return 5_000
	}
	return 100_000
}

// awaitRounds fails the test if the game makes no progress or ends with an error.
func awaitRounds(t *testing.T, rounds uint64, step <-chan struct{}, ended <-chan error, ends int) {
	t.Helper()
	for n := range rounds / stepRounds {
		shmtest.Soon(t, step, fmt.Sprintf("rounds after %d", n*stepRounds))
	}
	for range ends {
		require.NoError(t, shmtest.Soon(t, ended, "end of a player"))
	}
}

func TestPingPongLosesNoWakeUp(t *testing.T) {
	for _, k := range kinds() {
		rounds := pingPongRounds()
		if k.slow {
			rounds = stepRounds
		}
		t.Run(k.name, func(t *testing.T) { pingPong(t, k, rounds) })
	}
}

func pingPong(t *testing.T, k kind, rounds uint64) {
	t.Helper()
	a, b := mem.AlignedBytes(regionBytes), mem.AlignedBytes(regionBytes)
	// Positions that wrap on the way.
	mem.Uint64At(a, parksAt).Store(1<<64 - 3)
	mem.Uint64At(b, parksAt).Store(1<<32 - 3)
	bellAB, waitB := k.open(t)
	bellBA, waitA := k.open(t)
	sideA, sideB := attach(a, b, bellAB, waitA), attach(b, a, bellBA, waitB)
	step, ended := make(chan struct{}, rounds/stepRounds), make(chan error, 2)
	seed := shmtest.Rand(t)
	rngA, rngB := rand.New(rand.NewPCG(seed.Uint64(), 1)), rand.New(rand.NewPCG(seed.Uint64(), 2))
	go func() { ended <- sideA.play(rounds, true, rngA, func() { step <- struct{}{} }) }()
	go func() { ended <- sideB.play(rounds, false, rngB, func() {}) }()
	awaitRounds(t, rounds, step, ended, 2)
	t.Logf("%d rounds: A rang %d and waited %d times, B %d and %d", rounds, sideA.rings, sideA.waits, sideB.rings, sideB.waits)
	announced := sideB.parks.Load() - (1<<32 - 3)
	assert.LessOrEqual(t, uint64(sideA.rings), announced+1, "rings for that many announcements")
}
