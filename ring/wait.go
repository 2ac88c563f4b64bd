package ring

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"github.com/shmwire/shmwire/internal/mem"
)

const (
	// boundedWait limits a sleep under a context that cannot interrupt the Waiter.
	boundedWait = 50 * time.Millisecond
	// spinLooks is how often a handle without Waiter and Spin looks before it yields the processor.
	spinLooks = 64
)

// sleeper is the waiting half of a handle: it announces sleeps in the handle's own region (I7) and nowhere else.
type sleeper struct {
	parks    *mem.Word64 // written by: this handle; read by: the other side, to decide whether to ring
	sleeping *mem.Word32 // written by: this handle; read by: inspectors

	share     func()      // copies the statistics for inspectors, who see a sleeper exactly
	look      func() bool // whether what is waited for has come, or anything else that the caller must hear of
	waiter    Waiter
	interrupt func()
	woke      func(fruitful bool)
	spin      func(look func() bool) bool
	stopped   func() error
	timeout   func() time.Duration
	longest   time.Duration // of a sleep, because somebody may die without ringing; 0 = no limit
	parking   bool          // the next look is the last before a sleep, or the first after it

	watched <-chan struct{} // Done of the context that interrupts the waiter
	unwatch func() bool     // ends that

	waits, parked uint64 // for Stats
}

func makeSleeper(cfg *Config, own []byte, look func() bool, share func()) sleeper {
	s := sleeper{
		share:    share,
		parks:    mem.Uint64At(own, ProducerParksOffset),
		sleeping: mem.Uint32At(own, ProducerSleepingOffset),
		look:     look,
		waiter:   cfg.Waiter,
		spin:     cfg.Spin,
		stopped:  cfg.Stopped,
		timeout:  cfg.Timeout,
	}
	if w, ok := cfg.Waiter.(interface{ Interrupt() }); ok {
		s.interrupt = w.Interrupt
	}
	if w, ok := cfg.Waiter.(interface{ Woke(fruitful bool) }); ok {
		s.woke = w.Woke
	}
	return s
}

// wait returns nil once look has returned true, otherwise the error that ended it: the context's, that of Stopped, or
// that of a broken Waiter. Whatever ends it, the last thing it does is to look.
func (s *sleeper) wait(ctx context.Context) error {
	s.waits++
	for turn := 0; ; turn++ {
		if err := s.ended(ctx); err != nil {
			return s.last(err)
		}
		// With a waiter a fruitless spin is not repeated: spinning while idle is what parking is there to avoid.
		if (turn == 0 || s.waiter == nil) && s.spinOnce() {
			return nil
		}
		if s.waiter == nil {
			continue
		}
		if found, err := s.park(ctx); found || err != nil {
			return err
		}
	}
}

// ended returns why the wait must end, or nil.
func (s *sleeper) ended(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.stopped != nil {
		return s.stopped()
	}
	return nil
}

// last looks once more and returns err if that finds nothing.
func (s *sleeper) last(err error) error {
	if s.look() {
		return nil
	}
	return err
}

func (s *sleeper) spinOnce() bool {
	switch {
	case s.spin != nil:
		if s.spin(s.look) {
			return true
		}
	case s.waiter != nil:
		return false
	default:
		for range spinLooks {
			if s.look() {
				return true
			}
			mem.Pause(1)
		}
	}
	if s.waiter == nil {
		runtime.Gosched()
	}
	return false
}

// park sleeps once, by the whole sequence of I7, and looks. No step can be left out, nor can a wait be repeated
// without starting over: the doorbell's value must be older than the announcement, and the announcement older than the
// look, or a wake-up is lost.
func (s *sleeper) park(ctx context.Context) (found bool, err error) {
	s.watchContext(ctx)
	s.share()
	s.parking = true
	defer func() { s.parking = false }()
	d := s.waiter.Load()
	// sync(park) publishes: the announcement. Pairs with the other side's load in ringer.publish, ringer.answer and
	// Producer.TrySend, which follows each of its publications. Store-load, needs the full order of sync/atomic: either it sees the
	// announcement and changes the doorbell from d, or our look below sees what it published.
	s.parks.Add(1)
	s.parked++
	s.sleeping.Add(1)
	if err = s.ended(ctx); err != nil {
		found = s.look()
	} else if found = s.look(); !found {
		if err = s.waiter.Wait(d, s.limit(ctx)); err != nil {
			err = fmt.Errorf("wait for the other side of the ring: %w", err)
		}
		found = s.look()
		if s.woke != nil {
			s.woke(found)
		}
	}
	s.sleeping.Add(^uint32(0))
	if found {
		return true, nil
	}
	return false, err
}

// limit returns how long the coming sleep may be; negative means for ever.
func (s *sleeper) limit(ctx context.Context) time.Duration {
	d := time.Duration(-1)
	if s.timeout != nil {
		d = s.timeout()
	}
	if s.interrupt == nil && ctx.Done() != nil {
		d = shorter(d, boundedWait)
	}
	if s.longest > 0 {
		d = shorter(d, s.longest)
	}
	return d
}

// shorter returns the lesser of two durations, of which the first means for ever if it is negative.
func shorter(d, limit time.Duration) time.Duration {
	if d < 0 || d > limit {
		return limit
	}
	return d
}

// watchContext has the end of ctx interrupt the waiter. The registration is kept until another context comes, so that calls
// under one context allocate once. It is told by its Done channel, since contexts need not be comparable.
func (s *sleeper) watchContext(ctx context.Context) {
	done := ctx.Done()
	if done == nil || s.interrupt == nil || done == s.watched {
		return
	}
	s.stopWatching()
	s.watched, s.unwatch = done, context.AfterFunc(ctx, s.interrupt)
}

func (s *sleeper) stopWatching() {
	if s.unwatch != nil {
		s.unwatch()
	}
	s.watched, s.unwatch = nil, nil
}
