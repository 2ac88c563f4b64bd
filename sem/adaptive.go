package sem

import (
	"runtime"
	"sync/atomic"
	"time"

	"github.com/shmwire/shmwire/internal/mem"
)

const (
	// spinBudget is how long one spin lasts at most. A spin that is shorter than the peer's wake-up is worse than none:
	// each side gives up just before the other answers, and both sleep every time.
	spinBudget = 20 * time.Microsecond
	trialWaits = 64                   // one wait in so many tries whether spinning would pay
	enoughWins = 3                    // successful trials in a row that turn spinning on
	enoughLoss = 2                    // failures in a row that turn it off
	clockLooks = 16                   // looks between two readings of the clock: some 0.5 µs
	yieldEvery = time.Microsecond     // time between two offers of the processor to other goroutines
	crowded    = 5 * time.Microsecond // an offer that takes longer shows that others need the processor
)

// Adaptive spins before a sleep where that has lately saved the sleep, and not at all where it has not: it starts with
// no spinning, tries a spin of 20 µs in every 64th wait, goes on after three successes in a row and gives up after two
// failures in a row. Waits drive the trials, not time, so an idle process spins no more. It never spins if Go may use
// one processor only.
//
// The zero value is ready for use. Spin belongs to one goroutine at a time; Stats may be called from any.
type Adaptive struct {
	parallel bool // several processors are usable; looked at every 64th wait
	wins     int  // successful trials in a row
	losses   int  // failures in a row while on
	on       atomic.Bool

	waits, trials, spins, successes atomic.Uint64 // written by Spin alone
}

// AdaptiveStats tells what an Adaptive has done.
type AdaptiveStats struct {
	Waits     uint64 // calls of Spin
	Spins     uint64 // those that spun
	Trials    uint64 // those of Spins that were trials
	Successes uint64 // those of Spins that found something in time
	On        bool   // the next wait spins
}

// NewAdaptive returns an Adaptive that does not spin yet.
func NewAdaptive() *Adaptive { return new(Adaptive) }

// Spin calls look until it returns true or the budget of this wait is spent, and returns look's last answer; false if
// the budget is zero, when look is not called at all.
func (a *Adaptive) Spin(look func() bool) bool {
	trial := a.waits.Add(1)%trialWaits == 0
	if trial {
		a.parallel = min(runtime.GOMAXPROCS(0), runtime.NumCPU()) > 1
		if !a.parallel {
			a.on.Store(false)
			a.wins = 0
		}
	}
	on := a.on.Load()
	if !a.parallel || !(on || trial || a.wins > 0) {
		return false
	}
	found, paid := spin(look)
	a.judge(on, paid)
	return found
}

// judge draws the conclusion from a spin.
func (a *Adaptive) judge(on, paid bool) {
	a.spins.Add(1)
	if !on {
		a.trials.Add(1)
	}
	if !paid {
		a.losses++
		a.wins = 0
		if on && a.losses >= enoughLoss {
			a.on.Store(false)
		}
		return
	}
	a.successes.Add(1)
	a.losses = 0
	a.wins++
	if !on && a.wins >= enoughWins {
		a.on.Store(true)
	}
}

// Stats returns the counters.
func (a *Adaptive) Stats() AdaptiveStats {
	return AdaptiveStats{
		Waits: a.waits.Load(), Spins: a.spins.Load(), Trials: a.trials.Load(), Successes: a.successes.Load(),
		On: a.on.Load(),
	}
}

// spin calls look until it returns true, the budget is spent, or other goroutines turn out to need the processor.
// It returns look's last answer, and whether spinning was right: something was found, and not too late.
func spin(look func() bool) (found, paid bool) {
	start := time.Now()
	var yielded time.Duration // since start
	for n := 1; ; n++ {
		if look() {
			return true, n <= clockLooks || time.Since(start) <= spinBudget
		}
		mem.Pause(1)
		if n%clockLooks != 0 {
			continue
		}
		now := time.Since(start)
		if now >= spinBudget {
			return false, false
		}
		if now-yielded < yieldEvery {
			continue
		}
		runtime.Gosched()
		yielded = time.Since(start)
		if yielded-now > crowded {
			return look(), false
		}
	}
}
