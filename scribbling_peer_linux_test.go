package shmwire_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/shmwire/shmwire"
	"github.com/shmwire/shmwire/fallback"
	"github.com/shmwire/shmwire/internal/mem"
	"github.com/shmwire/shmwire/internal/shmtest"
	"github.com/shmwire/shmwire/ring"
	"github.com/shmwire/shmwire/sem"
	"github.com/shmwire/shmwire/shmseg"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// byHand is an end of a connection that keeps to the handshake and to nothing after it.
type byHand struct {
	uc        *net.UnixConn
	own, peer *shmseg.Segment
	bell      *sem.EventfdDoorbell // the victim's data doorbell, if it has one
	waiter    *sem.Eventfd
	geometry  ring.Geometry
}

func (h *byHand) close() {
	h.uc.Close()
	for _, s := range []*shmseg.Segment{h.own, h.peer} {
		if s != nil {
			_ = s.Detach()
		}
	}
	if h.bell != nil {
		_ = h.bell.Close()
	}
	if h.waiter != nil {
		_ = h.waiter.Close()
	}
}

// shakeByHand shakes hands as a Conn would, with small rings.
func shakeByHand(uc *net.UnixConn, wake fallback.Wake, shares bool) (*byHand, error) {
	h := &byHand{uc: uc}
	r, err := fallback.Handshake(uc, fallback.Params{
		Hello: fallback.Hello{SharesMemory: shares, Wake: wake, Slots: 256, SlotBytes: 16, MaxRingBytes: 1 << 30},
		Make: func(a fallback.Agreement) (o fallback.Offer, err error) {
			h.geometry = ring.Geometry{Slots: int(a.Slots), SlotBytes: int(a.SlotBytes)}
			sizes := []int{h.geometry.ProducerBytes(), h.geometry.ConsumerBytes()}
			if h.own, err = shmseg.CreateMemfd(shmseg.MemfdOptions{Regions: sizes}); err != nil {
				return o, err
			}
			o.FDs = []int{h.own.FD()}
			if a.OwnWake == fallback.WakeEventfd {
				if h.waiter, err = sem.NewEventfd(nil); err != nil {
					return o, err
				}
				o.FDs = append(o.FDs, h.waiter.FD())
			}
			return o, nil
		},
		Take: func(_ fallback.Agreement, o fallback.Offer) (err error) {
			sizes := []int{h.geometry.ProducerBytes(), h.geometry.ConsumerBytes()}
			if h.peer, err = shmseg.AttachMemfd(o.FDs[0], shmseg.AttachOptions{Regions: sizes}); err != nil {
				return err
			}
			if len(o.FDs) > 1 {
				h.bell, err = sem.NewEventfdDoorbell(o.FDs[1])
			}
			return err
		},
	})
	if err == nil && r.Shared != shares {
		err = errors.New("not shared: " + r.Reason)
	}
	return h, err
}

// byHandPair is a Conn and its hostile peer in this process.
func byHandPair(t *testing.T, cfg *shmwire.Config, wake fallback.Wake) (*shmwire.Conn, *byHand) {
	t.Helper()
	uc, file, err := shmwire.Socketpair()
	require.NoError(t, err)
	other, err := net.FileConn(file)
	require.NoError(t, err)
	file.Close()
	made := make(chan *byHand, 1)
	go func() {
		h, err := shakeByHand(other.(*net.UnixConn), wake, cfg == nil || !cfg.SocketOnly)
		if err != nil {
			t.Error(err)
		}
		made <- h
	}()
	c, err := shmwire.NewConn(uc, cfg)
	h := <-made
	t.Cleanup(h.close)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	return c, h
}

// scribbleRole shakes hands over socket 3 and then writes all over its own memory until it is killed: wake, seed,
// manner.
func scribbleRole(args []string) int {
	wake, _ := strconv.Atoi(args[0])
	seed, _ := strconv.ParseUint(args[1], 10, 64)
	rnd := rand.New(rand.NewPCG(seed, 1))
	f := os.NewFile(3, "socket")
	uc, err := net.FileConn(f)
	if err != nil {
		return fail(err)
	}
	h, err := shakeByHand(uc.(*net.UnixConn), fallback.Wake(wake), true)
	if err != nil {
		return fail(err)
	}
	say("go")
	s := &scribbler{h: h, rnd: rnd, producer: h.own.Region(0), consumer: h.own.Region(1), theirs: h.peer.Region(1)}
	go io.Copy(io.Discard, uc) //nolint:errcheck // until it is killed
	for {
		switch args[2] {
		case "wild":
			s.wild()
		case "plausible":
			s.plausible()
		default:
			s.wild()
			for range rnd.IntN(5000) {
				s.plausible()
			}
		}
		if rnd.IntN(50) == 0 {
			s.ring()
		}
	}
}

type scribbler struct {
	h                          *byHand
	rnd                        *rand.Rand
	producer, consumer, theirs []byte
}

func (s *scribbler) ring() {
	if s.h.bell != nil {
		s.h.bell.Ring()
	}
	mem.Uint32At(s.producer, ring.ProducerDoorbellOffset).Add(1)
	if s.rnd.IntN(4) == 0 {
		_ = s.h.uc.SetWriteDeadline(time.Now().Add(time.Millisecond))
		_, _ = s.h.uc.Write([]byte{0})
	}
}

// wild writes anything anywhere.
func (s *scribbler) wild() {
	region := s.producer
	if s.rnd.IntN(3) == 0 {
		region = s.consumer
	}
	limit := len(region) / 8
	if s.rnd.IntN(2) == 0 {
		limit = 896 / 8
	}
	v := s.rnd.Uint64()
	switch s.rnd.IntN(4) {
	case 0:
		v &= 0xff
	case 1:
		v = -(v & 0xff)
	case 2:
		v = 0
	}
	mem.Uint64At(region, 8*s.rnd.IntN(limit)).Store(v)
}

// plausible writes what a peer could have written, and changes its mind at once.
func (s *scribbler) plausible() {
	g := s.h.geometry
	// What the victim's consumer has taken is read where it says so.
	base := mem.Uint64At(s.theirs, ring.ConsumerPositionOffset).Load()
	at := base + uint64(s.rnd.IntN(g.Slots))
	index := at % uint64(g.Slots)
	lap := at / uint64(g.Slots)
	left := uint64(g.Slots) - index
	x, state := uint64(s.rnd.IntN(2*g.SlotBytes)), uint64(2)
	switch s.rnd.IntN(200) {
	case 0:
		x, state = left, 3
	case 1:
		x = left * uint64(g.SlotBytes)
	case 2:
		x = uint64(g.MaxRecord())
	case 3:
		lap++
	}
	x = min(x, left*uint64(g.SlotBytes))
	mem.Uint64At(s.producer, ring.ProducerDescriptorsOffset+8*int(index)).Store(lap<<28 | x<<2 | state)
	mem.Uint64At(s.producer, ring.ProducerParksOffset).Add(uint64(s.rnd.IntN(2)))
	// The victim's producer is read where it counts its position.
	pos := mem.Uint64At(s.h.peer.Region(0), ring.ProducerStatsOffset+7*8).Load()
	mem.Uint64At(s.consumer, ring.ConsumerPositionOffset).Store(pos - uint64(s.rnd.IntN(3)))
	mem.Uint64At(s.consumer, ring.ConsumerParksOffset).Add(uint64(s.rnd.IntN(2)))
}

// allowed are the ends that a hostile peer may bring about.
var allowed = []error{
	shmwire.ErrCorrupt, shmwire.ErrPeerDied, io.EOF, io.ErrClosedPipe, os.ErrDeadlineExceeded, context.DeadlineExceeded,
}

func isAllowed(err error) bool {
	for _, a := range allowed {
		if err == nil || errors.Is(err, a) {
			return true
		}
	}
	return false
}

// abuse calls everything, again and again, and returns an error that must not be.
func abuse(c *shmwire.Conn, rnd *rand.Rand, calls int, sending bool) error {
	for i := range calls {
		ctx, cancel := context.WithTimeout(bg, 5*time.Millisecond)
		var err error
		switch op := rnd.IntN(5); {
		case sending && op == 0:
			_, err = c.SendBatch(ctx, [][]byte{make([]byte, rnd.IntN(100)), {}, make([]byte, rnd.IntN(2000))})
		case sending && op == 1:
			var cl shmwire.Claim
			if cl, err = c.Claim(ctx, rnd.IntN(c.MaxMessage()+1)); err == nil {
				clear(cl.Bytes())
				err = cl.Commit()
			}
		case sending && op == 2:
			_ = c.SetWriteDeadline(time.Now().Add(5 * time.Millisecond))
			_, err = c.Write(make([]byte, rnd.IntN(3*c.MaxMessage())))
			_ = c.SetWriteDeadline(time.Time{})
		case sending:
			err = c.Send(ctx, make([]byte, rnd.IntN(200)))
		case op == 0:
			var r shmwire.Record
			if r, err = c.Next(ctx); err == nil {
				_ = append([]byte(nil), r.Bytes()...)
				r.Release()
			}
		case op == 1:
			_ = c.SetReadDeadline(time.Now().Add(5 * time.Millisecond))
			_, err = c.Read(make([]byte, rnd.IntN(10000)))
			_ = c.SetReadDeadline(time.Time{})
		default:
			_, err = c.Receive(ctx, nil)
		}
		cancel()
		if !isAllowed(err) {
			return fmt.Errorf("call %d: %w", i, err)
		}
		c.Stats()
	}
	return nil
}

// TestScribblingPeer: another process that writes anything into its own memory at any time cannot make a call panic,
// hang, or end in an error that it must not bring about.
func TestScribblingPeer(t *testing.T) {
	shmtest.Watchdog(t, 2*time.Minute)
	rounds := 3
	rnd := shmtest.Rand(t)
	for _, wait := range []shmwire.Wait{shmwire.WaitAdaptive, shmwire.WaitFutex, shmwire.WaitSpin} {
		for _, wake := range []fallback.Wake{fallback.WakeEventfd, fallback.WakeFutex, fallback.WakeNever} {
			for _, manner := range []string{"wild", "plausible", "both"} {
				t.Run(fmt.Sprint(wait, " ", wake, " ", manner), func(t *testing.T) {
					for range rounds {
						cfg := &shmwire.Config{RingBytes: 4096, SlotBytes: 16, Wait: wait}
						c, child := withChild(t, cfg, "scribble", fmt.Sprint(int(wake)), fmt.Sprint(rnd.Uint64()), manner)
						require.Equal(t, "go", child.Line())
						var wg sync.WaitGroup
						var errs [2]error
						seeds := [2]uint64{rnd.Uint64(), rnd.Uint64()}
						for i := range errs {
							wg.Go(func() { errs[i] = abuse(c, rand.New(rand.NewPCG(seeds[i], 2)), 100, i == 0) })
						}
						wg.Wait()
						assert.NoError(t, errs[0], "sending")
						assert.NoError(t, errs[1], "receiving")
						blocked := inBackground(func() (int, error) { _, err := c.Receive(bg, nil); return 0, err })
						require.NoError(t, c.Close())
						<-blocked
						child.Kill()
					}
				})
			}
		}
	}
}
