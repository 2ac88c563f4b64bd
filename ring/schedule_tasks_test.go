//go:build shmsteps

package ring_test

import (
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"runtime/debug"
	"time"
)

// A schedule runs a few tasks on the real ring, one step at a time: every access to a shared word is a step, and who
// makes the next one is drawn from a seeded source. Tasks are coroutines, so exactly one runs, and the same seed gives
// the same run.

// taskState is what a task can do next.
type taskState uint8

const (
	taskReady  taskState = iota
	taskAsleep           // in a Waiter
	taskOver             // returned or killed
)

// task is one process of a schedule.
type task struct {
	s      *sched
	name   string
	resume func() (struct{}, bool)
	stop   func()
	yield  func(struct{}) bool

	state  taskState
	steps  int
	spins  int
	killAt int  // the step before which the task is killed; negative: never
	dying  bool // what it does from now on has no effect

	buffer []write // stores that nobody else sees yet, oldest first
	sure   int     // how many of them are from calls that have returned
	owns   *space  // the one region it may write

	bed     *stepBell     // asleep: what it waits for, if in the ring
	until   func() bool   // asleep: what it waits for outside of it
	timeout time.Duration // asleep: negative is for ever
	expires time.Duration // asleep, unless for ever: when that ends
	excused bool          // asleep: somebody has died since, perhaps without ringing
	// hasWork tells of a sleeper what it could do, if anything, or that it may not sleep so long.
	hasWork func(excused bool) string
	onGone  func() // called once a killed task is dead and its last store visible
	gone    bool

	rank, drainRank int // for the strategy by priorities, higher first
}

// sched is one schedule.
type sched struct {
	rng   *rand.Rand
	plan  plan
	tasks []*task
	now   *task // who runs; nil while nothing but the schedule does
	next  *task // chosen already

	steps, limit int
	timeouts     int
	clock        time.Duration // moves only when nobody can do anything
	seesDeaths   bool          // who sleeps for a time only may need that after a death, since the dead do not ring
	failure      error
	trace        *trace
}

// errKilled unwinds a task whose process has died.
var errKilled = errors.New("killed")

// spinsANap is how often a task spins before time must have passed.
const spinsANap = 80

const (
	// shortSleep is how long tasks sleep that want to look again soon.
	shortSleep = 20 * time.Millisecond
	// longSleep is longer than a sleep for which there is a reason to look again.
	longSleep = 100 * time.Millisecond
)

// maxTimeouts is how often the clock may move on in a schedule because nothing else can.
const maxTimeouts = 400

// start adds a task that runs body.
func (s *sched) start(name string, owns *space, body func(t *task)) *task {
	t := &task{s: s, name: name, killAt: -1, owns: owns}
	t.resume, t.stop = iter.Pull(func(yield func(struct{}) bool) {
		t.yield = yield
		defer t.end()
		body(t)
	})
	s.plan.enter(s, t)
	s.tasks = append(s.tasks, t)
	return t
}

// end is deferred by the task's coroutine: a panic other than by a kill is a failure of the schedule.
func (t *task) end() {
	if r := recover(); r != nil && r != any(errKilled) {
		t.s.failf("%s panics: %v\n%s", t.name, r, debug.Stack())
	}
	t.state = taskOver
}

// run takes steps until all tasks are over, or something is wrong.
func (s *sched) run() error {
	for s.failure == nil {
		t := s.next
		if s.next = nil; t == nil || t.state != taskReady {
			t = s.choose()
		}
		if t == nil && !s.unblock() {
			break
		}
		if t != nil {
			s.now = t
			t.resume()
			s.now = nil
		}
	}
	for _, t := range s.tasks {
		t.dying = true
		t.stop()
	}
	return s.failure
}

// fail ends the schedule; the first failure counts.
func (s *sched) fail(err error) {
	if s.failure == nil {
		s.failure = err
	}
}

func (s *sched) failf(format string, args ...any) { s.fail(fmt.Errorf(format, args...)) }

// step is the moment before a task does something that others can see. It returns when it is the task's turn.
func (t *task) step() {
	s := t.s
	if t.dying || s.failure != nil {
		panic(errKilled)
	}
	if t.steps == t.killAt {
		t.kill()
		panic(errKilled)
	}
	t.steps++
	if s.steps++; s.steps > s.limit {
		s.failf("livelock: %d steps, and tasks still run", s.steps)
		panic(errKilled)
	}
	next := s.choose()
	if next == t {
		return
	}
	s.next = next
	t.pause()
}

// pause lets others run until the schedule comes back to t.
func (t *task) pause() {
	if !t.yield(struct{}{}) || t.s.failure != nil {
		panic(errKilled)
	}
}

// spin is a step of a task that looks again and again for something others must do. The clock moves on meanwhile.
func (t *task) spin() {
	t.s.plan.spinning(t)
	if t.spins++; t.spins%spinsANap == 0 {
		t.nap()
		return
	}
	t.step()
}

// nap lets the task do nothing until the clock moves on, because nobody else can do anything.
func (t *task) nap() {
	t.step()
	t.drainAll()
	t.sleep(shortSleep)
}

// kill ends the task's process here. What it stored in calls that have returned becomes visible yet, now or later; the
// last of what it stored since may not.
func (t *task) kill() {
	s := t.s
	t.dying = true
	lost := s.rng.IntN(len(t.buffer) - t.sure + 1)
	t.buffer = t.buffer[:len(t.buffer)-lost]
	s.tracef(t, "is killed; %d stores are lost, %d become visible yet", lost, len(t.buffer))
	t.state = taskOver
	if len(t.buffer) == 0 {
		t.bury()
	}
}

// returned notes that a call has returned: a kill does not undo it.
func (t *task) returned() { t.sure = len(t.buffer) }

// bury is when all that a killed task stored has become visible, so that its death can be proven.
func (t *task) bury() {
	t.gone = true
	for _, other := range t.s.tasks {
		other.excused = t.s.seesDeaths
	}
	t.s.tracef(t, "is proven dead")
	if t.onGone != nil {
		t.onGone()
	}
}

// unblock is for when nobody can take a step: it reports whether somebody can now, and notes what must not be.
func (s *sched) unblock() bool {
	s.nudge()
	var asleep []*task
	for _, t := range s.tasks {
		if t.state == taskReady {
			return true
		}
		if t.state == taskAsleep {
			asleep = append(asleep, t)
		}
	}
	if len(asleep) == 0 {
		return false
	}
	return s.timePasses(asleep)
}

// timePasses wakes the one whose sleep ends first. Who has something to do must not need that.
func (s *sched) timePasses(asleep []*task) bool {
	var first *task
	for _, t := range asleep {
		if t.timeout >= 0 && (first == nil || t.expires < first.expires) {
			first = t
		}
		if t.bed == nil {
			continue
		}
		if work := t.hasWork(t.excused && t.timeout >= 0); work != "" {
			s.failf("lost wake-up: %s sleeps, as do all, and has something to do: %s", t.name, work)
			return false
		}
	}
	if s.timeouts++; first == nil || s.timeouts > maxTimeouts {
		s.failf("deadlock: %d tasks sleep, after %d time-outs", len(asleep), s.timeouts-1)
		return false
	}
	s.clock = first.expires
	first.wake("by its time-out")
	return true
}

// sleep makes the task sleep in what the caller has noted, until somebody or the clock wakes it.
func (t *task) sleep(timeout time.Duration) {
	t.state, t.timeout = taskAsleep, timeout
	// No two sleeps end at the same moment.
	t.expires = t.s.clock + timeout + time.Duration(t.s.rng.IntN(int(shortSleep)))
	t.pause()
}

func (t *task) wake(why string) {
	t.s.tracef(t, "wakes %s", why)
	t.state, t.bed, t.until, t.excused = taskReady, nil, nil, false
}

// idle lets the task do nothing until something is true, outside of any call. What it has sent must get there without
// its help, so its own stores become visible first, as they do in time.
func (t *task) idle(until func() bool) {
	t.step()
	t.drainAll()
	if until() {
		return
	}
	t.s.tracef(t, "idles")
	t.until = until
	t.sleep(-1)
}

// nudge wakes the tasks that idle for something that is true now.
func (s *sched) nudge() {
	for _, t := range s.tasks {
		if t.state == taskAsleep && t.until != nil && t.until() {
			t.wake("since it is time")
		}
	}
}

// stepBell is a doorbell and its waiter as the kernel gives them: both calls into it are steps of their own.
type stepBell struct {
	s   *sched
	at  *space
	off int
}

func (b *stepBell) Ring() {
	b.at.word32(b.off).Add(1)
	if t := b.s.now; t != nil {
		t.step()
		b.s.tracef(t, "wakes who waits for %s", b.at.place(b.off))
	}
	for _, t := range b.s.tasks {
		if t.state == taskAsleep && t.bed != nil && *t.bed == *b {
			t.wake("by the doorbell")
		}
	}
}

func (b *stepBell) Load() uint32 { return b.at.word32(b.off).Load() }

func (b *stepBell) Wait(value uint32, timeout time.Duration) error {
	t := b.s.now
	t.step()
	t.drainAll() // a system call
	if uint32(b.at.get(b.off, 4)) != value {
		return nil
	}
	b.s.tracef(t, "sleeps while %s is %d, for %v", b.at.place(b.off), value, timeout)
	t.bed = b
	t.sleep(timeout)
	return nil
}
