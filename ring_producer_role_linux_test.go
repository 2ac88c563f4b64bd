package shmwire_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/shmwire/shmwire/internal/mem"
	"github.com/shmwire/shmwire/internal/sys"
	"github.com/shmwire/shmwire/ring"
	"github.com/shmwire/shmwire/sem"
	"github.com/shmwire/shmwire/shmseg"
	"golang.org/x/sys/unix"
)

// The regions of the segment "ring" that producers and a consumer share. In the journal each producer process has two
// words, which outlive it: how many messages it may have sent, and how many sends have returned.
const (
	producerRegion = iota
	consumerRegion
	journalRegion

	journalBytes   = 16 * maxProducers
	maxProducers   = 256
	envelopeBytes  = 16
	mostInOneBatch = 32
)

// assignment is what one producer process is told.
type assignment struct {
	Dir      string
	Geometry ring.Geometry
	Parks    bool // sleeps on a futex; otherwise it spins, as all others do
	Resume   bool // its predecessor on an SPSC ring was killed
	Owner    int  // its number on an MPSC ring; 0 = any
	ID       int  // of its messages; below maxProducers
	Longest  int  // bytes of a message, envelopeBytes at least
	DieAfter int  // messages, after which it kills itself in the middle of a claim; 0 = never
}

func (a assignment) file() string { return filepath.Join(a.Dir, "shmwire.ring") }

// message appends message number of producer id to b: an envelope that says both, with a checksum, and bytes that follow
// from them.
func (a assignment) message(b []byte, number uint64) []byte {
	b = binary.LittleEndian.AppendUint64(b, uint64(a.ID)<<32|number)
	b = binary.LittleEndian.AppendUint64(b, mixed(uint64(a.ID)<<32|number))
	return stream{uint64(a.ID), a.Longest - envelopeBytes}.append(b, number)
}

// journal returns the two words of producer id.
func journal(s *shmseg.Segment, id int) (attempted, sent *mem.Word64) {
	b := s.Region(journalRegion)
	return mem.Uint64At(b, 16*id), mem.Uint64At(b, 16*id+8)
}

// side returns how a producer or the consumer of the ring in s sleeps and wakes, and who is alive.
func (a assignment) side(s *shmseg.Segment, own, ownBell, peer, peerBell int) (ring.Config, error) {
	cfg := ring.Config{Geometry: a.Geometry, Resume: a.Resume, PeerNeverParks: !a.Parks}
	bell, err := sem.NewFutexDoorbell(s.Region(own), ownBell, true)
	if err != nil {
		return cfg, err
	}
	cfg.Doorbell = bell
	if a.Parks {
		if cfg.Waiter, err = sem.NewFutexWaiter(s.Region(peer), peerBell); err != nil {
			return cfg, err
		}
	} else {
		cfg.Spin = spinPolitely
	}
	if a.Geometry.MPSC {
		locks, err := newOwnerLocks(a.file())
		if err != nil {
			return cfg, err
		}
		cfg.Owner, cfg.Hold, cfg.ProvenDead = a.Owner, locks.hold, locks.provenDead
	}
	return cfg, nil
}

// ownerLocks proves by locks on bytes of the segment's file who is alive. Each lock belongs to an open file description
// that is used for nothing else, so the kernel gives it back when its process dies.
type ownerLocks struct {
	path   string
	asking *os.File // holds none: who asks through a description that holds a lock is told that it is free
}

func newOwnerLocks(path string) (*ownerLocks, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	return &ownerLocks{path, f}, err
}

func (l *ownerLocks) hold(owner int) (release func(), ok bool, err error) {
	f, err := os.OpenFile(l.path, os.O_RDWR, 0)
	if err != nil {
		return nil, false, err
	}
	var none *sys.Table
	err = none.LockByte(int(f.Fd()), true, int64(owner))
	if err != nil {
		_ = f.Close() // what it says is of no interest beside err
		if errors.Is(err, sys.EAGAIN) {
			err = nil
		}
		return nil, false, err
	}
	return func() { _ = f.Close() }, true, nil // nothing was written through it
}

func (l *ownerLocks) provenDead(owner int) bool {
	lock := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart, Start: int64(owner), Len: 1}
	err := unix.FcntlFlock(l.asking.Fd(), unix.F_OFD_GETLK, &lock)
	return err == nil && lock.Type == unix.F_UNLCK
}

// ringProducerRole sends messages in every way there is until it is told to finish, or dies: an assignment as JSON.
func ringProducerRole(args []string) int {
	var a assignment
	if err := json.Unmarshal([]byte(args[0]), &a); err != nil {
		return fail(err)
	}
	s, err := shmseg.OpenNamed("ring", shmseg.OpenOptions{Dir: a.Dir})
	if err != nil {
		return fail(err)
	}
	w := busyProducer{assignment: a, finish: finishWhenTold()}
	w.attempted, w.sent = journal(s, a.ID)
	cfg, err := a.side(s, producerRegion, ring.ProducerDoorbellOffset, consumerRegion, ring.ConsumerDoorbellOffset)
	if err != nil {
		return fail(err)
	}
	if w.p, err = joinRing(s, cfg); err != nil {
		return fail(err)
	}
	for !w.finish.Load() {
		if err := w.turn(); err != nil {
			return fail(err)
		}
	}
	w.p.Close()
	return 0
}

func joinRing(s *shmseg.Segment, cfg ring.Config) (*ring.Producer, error) {
	own, peer := s.Region(producerRegion), s.Region(consumerRegion)
	if !cfg.MPSC {
		return ring.NewProducer(own, peer, cfg)
	}
	ctx, cancel := context.WithTimeout(bg, time.Minute)
	defer cancel()
	return ring.Join(ctx, own, peer, cfg)
}

// finishWhenTold returns what becomes true when the parent sends a line.
func finishWhenTold() *atomic.Bool {
	var told atomic.Bool
	go func() {
		bufio.NewScanner(os.Stdin).Scan()
		told.Store(true)
	}()
	return &told
}

// busyProducer sends numbered messages and keeps its journal.
type busyProducer struct {
	assignment
	p               *ring.Producer
	finish          *atomic.Bool
	attempted, sent *mem.Word64
	next            uint64 // number of the next message
	batch           [mostInOneBatch][]byte
}

// turn sends one message, or several at once, in one of the ways.
func (w *busyProducer) turn() error {
	if w.DieAfter > 0 && w.next >= uint64(w.DieAfter) {
		return w.dieInClaim()
	}
	dice := mixed(uint64(w.ID)<<48 ^ w.next)
	count := 1
	if dice%2 == 0 {
		count = 1 + int((dice>>8)%mostInOneBatch)
	}
	for i := range count {
		w.batch[i] = w.message(w.batch[i][:0], w.next+uint64(i))
	}
	w.next += uint64(count)
	w.attempted.Store(w.next)
	if err := w.send(w.batch[:count], dice>>16); err != nil {
		return fmt.Errorf("send message %d of producer %d: %w", w.next-1, w.ID, err)
	}
	w.sent.Store(w.next)
	return nil
}

func (w *busyProducer) send(batch [][]byte, dice uint64) error {
	if len(batch) > 1 {
		_, err := w.p.SendBatch(bg, batch)
		return err
	}
	switch dice % 4 {
	case 0:
		if ok, err := w.p.TrySend(batch[0]); ok || err != nil {
			return err
		}
	case 1:
		return w.sendInPlace(batch[0])
	case 2:
		claim, err := w.p.Claim(bg, len(batch[0]))
		if err != nil {
			return err
		}
		claim.Abort() // thought better of it
	}
	return w.p.Send(bg, batch[0])
}

func (w *busyProducer) sendInPlace(msg []byte) error {
	claim, err := w.p.Claim(bg, len(msg))
	if err != nil {
		return err
	}
	copy(claim.Bytes(), msg)
	claim.Commit()
	return nil
}

// dieInClaim leaves a claim half written.
func (w *busyProducer) dieInClaim() error {
	claim, err := w.p.Claim(bg, w.Longest)
	if err != nil {
		return err
	}
	b := claim.Bytes()
	copy(b[:len(b)/2], w.message(nil, w.next))
	end(nil, "kill")
	return nil
}
