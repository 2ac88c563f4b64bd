//go:build shmsteps

package ring_test

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/shmwire/shmwire/ring"
)

// sender sends messages in every way, as a task.
type sender struct {
	t    *task
	p    *ring.Producer
	post *postOffice
	book *ledger
	left *int // messages to send yet, over all lives
	max  int  // longest message
	want int  // bytes that it waits with
}

// ways to send and to take, as bits.
const (
	wayTry = 1 << iota
	wayWait
	wayBatch
	wayClaim
	wayAbort
	wayView
	wayDrain
	wayRead
	ways = iota

	allWaysOut = wayTry | wayWait | wayBatch | wayClaim | wayAbort
	allWaysIn  = wayTry | wayWait | wayView | wayDrain | wayRead
)

// errRefused is what a handler says of a message that it wants to see again.
var errRefused = errors.New("refused")

// way draws one of the ways allowed.
func (s *sched) way(allowed int) int {
	for {
		if w := 1 << s.rng.IntN(ways); w&allowed != 0 {
			return w
		}
	}
}

// sendAll sends until nothing is left or the consumer has closed.
func (s *sender) sendAll(allowed int) {
	for *s.left > 0 {
		if err := s.send(s.t.s.way(allowed)); err != nil {
			if !errors.Is(err, io.ErrClosedPipe) {
				s.t.s.failf("%s: %w", s.t.name, err)
			}
			*s.left = 0
		}
		s.t.returned()
		if s.t.s.rng.IntN(4) == 0 {
			s.t.idle(s.arrived)
		}
	}
}

// leave closes, now and then with a claim open.
func (s *sender) leave() {
	if s.t.s.rng.IntN(4) == 0 {
		if c, ok, _ := s.p.TryClaim(s.size()); ok {
			s.fill(c.Bytes(), abortedLetter(len(c.Bytes())))
		}
	}
	s.book.leaving = true
	s.p.Close()
	s.t.returned()
	s.book.over = true
}

// arrived reports whether all that was sent has been taken, or never will be.
func (s *sender) arrived() bool { return s.post.quit || s.book.taken+s.post.mayLose >= s.book.done }

func (s *sender) size() int { return letterHeader + s.t.s.rng.IntN(s.max-letterHeader+1) }

// next begins a message.
func (s *sender) next() []byte {
	s.want = s.size()
	msg := letter(s.book.id, s.book.begun, s.want)
	s.book.begun++
	*s.left--
	return msg
}

// unsent takes back the last n messages begun, which the ring has refused.
func (s *sender) unsent(n int) {
	s.book.begun -= n
	*s.left += n
}

func (s *sender) send(way int) (err error) {
	ctx := context.Background()
	switch way {
	case wayTry:
		return s.trySend()
	case wayBatch:
		return s.sendBatch(ctx)
	case wayClaim:
		return s.claim(ctx)
	case wayAbort:
		return s.abort()
	}
	if err = s.p.Send(ctx, s.next()); err != nil {
		s.unsent(1)
		return err
	}
	s.book.done++
	return nil
}

func (s *sender) trySend() error {
	ok, err := s.p.TrySend(s.next())
	if ok {
		s.book.done++
		return err
	}
	s.unsent(1)
	if err == nil {
		s.t.spin()
	}
	return err
}

func (s *sender) sendBatch(ctx context.Context) error {
	msgs := make([][]byte, 1+s.t.s.rng.IntN(min(5, *s.left)))
	longest := 0
	for i := range msgs {
		msgs[i] = s.next()
		longest = max(longest, s.want)
	}
	s.want = longest // whichever of them waits, there is no more to do than for this one
	n, err := s.p.SendBatch(ctx, msgs)
	s.book.done += n
	s.unsent(len(msgs) - n)
	return err
}

func (s *sender) claim(ctx context.Context) error {
	msg := s.next()
	c, err := s.p.Claim(ctx, len(msg))
	if err != nil {
		s.unsent(1)
		return err
	}
	s.fill(c.Bytes(), msg)
	c.Commit()
	s.book.done++
	return nil
}

// fill writes a message in two parts, with a step between them.
func (s *sender) fill(b, msg []byte) {
	half := s.t.s.rng.IntN(len(msg) + 1)
	copy(b[:half], msg[:half])
	s.t.step()
	copy(b[half:], msg[half:])
}

func (s *sender) abort() error {
	n := s.size()
	c, ok, err := s.p.TryClaim(n)
	if !ok {
		if err == nil {
			s.t.spin()
		}
		return err
	}
	s.fill(c.Bytes(), abortedLetter(n))
	c.Abort()
	return nil
}

// receiver takes messages in every way, as a task.
type receiver struct {
	t     *task
	c     *ring.Consumer
	post  *postOffice
	slots func(n int) uint64
	most  int  // messages after which it closes; negative: never
	lives int  // when the last call began
	blind bool // in a call that copies: a message may die with it
}

// receiveAll takes messages until the end, or until it has had enough. It reports whether the end has come.
func (r *receiver) receiveAll(allowed int) (end bool) {
	for r.most != 0 {
		alive := r.post.alive()
		r.lives = len(r.post.ledgers)
		switch err := r.receive(r.t.s.way(allowed)); {
		case err == io.EOF:
			if err := r.post.ended(r.lives, alive); err != nil {
				r.t.s.fail(err)
			}
			return true
		case err != nil:
			r.t.s.failf("%s: %w", r.t.name, err)
			return false
		}
	}
	r.post.quit = true
	r.t.s.nudge()
	r.c.Close()
	return false
}

func (r *receiver) receive(way int) (err error) {
	var msg []byte
	ok := true
	r.blind = true
	switch way {
	case wayTry:
		msg, ok, err = r.c.TryReceive(nil)
	case wayWait:
		msg, err = r.c.Receive(context.Background(), nil)
	default:
		r.blind = false
		return r.look(way)
	}
	if ok && err == nil {
		err = r.took(msg, r.c.Position())
	}
	r.blind = false
	if !ok && err == nil {
		r.t.spin()
	}
	return err
}

func (r *receiver) took(msg []byte, end uint64) error {
	if r.most > 0 {
		r.most--
	}
	if r.t.s.trace != nil {
		r.t.s.tracef(r.t, "takes life %d number %d of %d bytes, up to position %#x", msg[4], msg[6], len(msg), end)
	}
	err := r.post.take(msg, end)
	r.t.s.nudge()
	return err
}

// look takes messages where they lie.
func (r *receiver) look(way int) (err error) {
	ctx, limit := context.Background(), 1+r.t.s.rng.IntN(4)
	if r.most > 0 {
		limit = min(limit, r.most)
	}
	switch way {
	case wayDrain:
		_, err = r.c.Drain(ctx, limit, r.accept)
	case wayRead:
		_, err = r.c.Read(ctx, limit, r.decide)
	default:
		return r.view(ctx)
	}
	if err == errRefused {
		return nil
	}
	return err
}

// view looks at one record.
func (r *receiver) view(ctx context.Context) error {
	v, err := r.c.Next(ctx)
	if err != nil {
		return err
	}
	if err := r.inspect(v.Bytes()); err != nil {
		return err
	}
	v.Release()
	return nil
}

// inspect takes a message where it lies, in two parts with a step between them.
func (r *receiver) inspect(b []byte) error {
	half := r.t.s.rng.IntN(len(b) + 1)
	msg := append([]byte(nil), b[:half]...)
	r.t.step()
	msg = append(msg, b[half:]...)
	return r.took(msg, r.c.Position()+r.slots(len(msg)))
}

// accept is a handler of Drain.
func (r *receiver) accept(msg []byte) error {
	if r.t.s.rng.IntN(8) == 0 {
		return errRefused
	}
	return r.inspect(msg)
}

// decide is a handler of Read.
func (r *receiver) decide(msg []byte) ring.Action {
	action := ring.Action(r.t.s.rng.IntN(4))
	if action != ring.Rewind {
		if err := r.inspect(msg); err != nil {
			r.t.s.failf("%s: %w", r.t.name, err)
		}
	}
	return action
}

const (
	producerSide = iota
	consumerSide
)

// wiring returns how one side sleeps, wakes and spins; parks says which sides ever sleep.
func (l *lab) wiring(t *task, side int, parks [2]bool) (cfg ring.Config) {
	bells := [2]*stepBell{
		producerSide: {l.s, l.prod, ring.ProducerDoorbellOffset},
		consumerSide: {l.s, l.cons, ring.ConsumerDoorbellOffset},
	}
	cfg.Doorbell, cfg.PeerNeverParks = bells[side], !parks[1-side]
	if !parks[side] {
		cfg.Spin = t.spinOn(8)
		return cfg
	}
	cfg.Waiter = bells[1-side]
	if l.s.rng.IntN(2) == 0 {
		cfg.Spin = t.spinOn(1 + l.s.rng.IntN(2))
	}
	return cfg
}

// spinOn is a Config.Spin for tasks: a few looks, or without end for who never sleeps.
func (t *task) spinOn(looks int) func(look func() bool) bool {
	return func(look func() bool) bool {
		for range looks {
			if look() {
				return true
			}
			t.spin()
		}
		return false
	}
}

// onlyGrows checks that a word grows by at most n at a time.
func onlyGrows(n uint64) func(off int, was, is uint64) error {
	return func(off int, was, is uint64) error {
		if off == ring.ConsumerPositionOffset && is-was > n {
			return fmt.Errorf("a position moves from %#x to %#x", was, is)
		}
		return nil
	}
}
