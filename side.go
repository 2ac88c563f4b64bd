package shmwire

import (
	"context"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// side is what sending and receiving have in common: one user at a time, a deadline, and being woken.
type side struct {
	life  *life
	epoch time.Time // deadlines are durations since then, by the monotonic clock
	wake  func()    // makes a call that waits in the transport ask stop again

	deadline atomic.Int64  // 0: none
	turn     chan struct{} // holds one token while somebody uses the side

	mu      sync.Mutex // protects changed
	changed chan struct{}
}

func (s *side) init(l *life, epoch time.Time, wake func()) {
	s.life, s.epoch, s.wake = l, epoch, wake
	s.turn = make(chan struct{}, 1)
}

// setDeadline moves the deadline, also for calls that wait at the moment. The zero time is none.
func (s *side) setDeadline(t time.Time) {
	var d int64
	if !t.IsZero() {
		d = max(1, int64(t.Sub(s.epoch)))
	}
	s.deadline.Store(d)
	s.nudge()
}

// nudge makes everybody who waits for the side, or in it, look at stop again.
func (s *side) nudge() {
	s.mu.Lock()
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
	s.mu.Unlock()
	s.wake()
}

// stop says why a call must not wait any longer.
func (s *side) stop() error {
	if s.life.closed() {
		return net.ErrClosed
	}
	if d := s.deadline.Load(); d != 0 && int64(time.Since(s.epoch)) >= d {
		return os.ErrDeadlineExceeded
	}
	return nil
}

// timeout is how long a call may sleep; negative is for ever.
func (s *side) timeout() time.Duration {
	d := s.deadline.Load()
	if d == 0 {
		return -1
	}
	return max(0, time.Duration(d)-time.Since(s.epoch))
}

// until is the deadline as a time.
func (s *side) until() time.Time {
	d := s.deadline.Load()
	if d == 0 {
		return time.Time{}
	}
	return s.epoch.Add(time.Duration(d))
}

// acquire takes the side for the caller, or says why not. An expired deadline and an ended context win over a free
// side, as they do for every net.Conn.
func (s *side) acquire(ctx context.Context) error {
	if err := s.stop(); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if !s.tryAcquire() {
		if err := s.queue(ctx); err != nil {
			return err
		}
	}
	if err := s.stop(); err != nil { // whoever used the side last may have given it back because of a Close
		s.release()
		return err
	}
	return nil
}

// tryAcquire takes the side if nobody uses it.
func (s *side) tryAcquire() bool {
	select {
	case s.turn <- struct{}{}:
		return true
	default:
		return false
	}
}

// queue waits for whoever uses the side.
func (s *side) queue(ctx context.Context) error {
	for {
		s.mu.Lock()
		if s.changed == nil {
			s.changed = make(chan struct{})
		}
		changed := s.changed
		s.mu.Unlock()
		if err := s.stop(); err != nil { // after changed was taken: what comes later closes it
			return err
		}
		got, err := s.waitTurn(ctx, changed)
		if got || err != nil {
			return err
		}
	}
}

func (s *side) waitTurn(ctx context.Context, changed chan struct{}) (got bool, err error) {
	var expired <-chan time.Time
	if d := s.timeout(); d >= 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		expired = t.C
	}
	select {
	case s.turn <- struct{}{}:
		return true, nil
	case <-ctx.Done():
		return false, ctx.Err()
	case <-changed:
	case <-expired:
	}
	return false, nil
}

func (s *side) release() { <-s.turn }
