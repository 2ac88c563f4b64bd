//go:build shmsteps

package ring_test

// plan is how a schedule chooses: at random; at random but mostly going on with whoever runs; or by priorities that
// change at few random steps, which finds what needs one task to stop at one place for long (PCT, Burckhardt and
// others, 2010). Store buffers are chosen among the tasks, as often as the plan says.
type plan struct {
	kind     planKind
	drain    uint64 // weight of a store buffer; a task's is planUnit
	spurious bool   // sleepers wake for no reason now and then
	leave    bool   // whoever runs only spins
	changes  []int  // steps after which the first in rank becomes the last
	last     int    // the lowest rank given
}

type planKind uint8

const (
	planWalk planKind = iota
	planSticky
	planRanks
	planKinds
)

const (
	planUnit = 16
	// planHorizon is about how many steps the changes of rank are spread over.
	planHorizon = 400
	// spuriousOneIn is how seldom a sleeper wakes for no reason, in schedules where they do.
	spuriousOneIn = 128
)

func (s *sched) makePlan() {
	p := &s.plan
	p.kind = planKind(s.rng.IntN(int(planKinds)))
	p.drain = []uint64{4 * planUnit, planUnit, planUnit / 4, 1}[s.rng.IntN(4)]
	p.spurious = s.rng.IntN(8) == 0
	if p.kind == planRanks {
		for range s.rng.IntN(5) {
			p.changes = append(p.changes, s.rng.IntN(planHorizon))
		}
	}
}

// enter gives a new task its ranks.
func (p *plan) enter(s *sched, t *task) {
	t.rank, t.drainRank = 1+s.rng.IntN(1<<20), 1+s.rng.IntN(1<<20)
}

// spinning notes that t can do nothing until others have taken steps.
func (p *plan) spinning(t *task) {
	p.leave = true
	p.last--
	t.rank = p.last
}

// choose returns who makes the next step, nil if nobody can. Stores become visible on the way.
func (s *sched) choose() *task {
	if s.plan.spurious && s.rng.IntN(spuriousOneIn) == 0 {
		s.wakeAnybody()
	}
	for {
		t, drain := s.pick()
		if !drain {
			return t
		}
		t.drainOne()
	}
}

// pick returns a task and whether it takes a step or one of its stores becomes visible.
func (s *sched) pick() (t *task, drain bool) {
	p := &s.plan
	leave := p.leave
	p.leave = false
	switch p.kind {
	case planRanks:
		return s.pickByRank()
	case planSticky:
		if s.now != nil && s.now.state == taskReady && !leave && s.rng.IntN(16) != 0 {
			return s.now, false
		}
	}
	return s.pickAtRandom()
}

func (s *sched) pickAtRandom() (*task, bool) {
	var total uint64
	for _, t := range s.tasks {
		total += t.weights(s.plan.drain)
	}
	if total == 0 {
		return nil, false
	}
	n := s.rng.Uint64N(total)
	for _, t := range s.tasks {
		w := t.weights(s.plan.drain)
		if n < w {
			return t, t.state != taskReady || n >= planUnit
		}
		n -= w
	}
	panic("unreachable")
}

// weights returns the chances of t and of its buffer together.
func (t *task) weights(drain uint64) (w uint64) {
	if t.state == taskReady {
		w = planUnit
	}
	if len(t.buffer) > 0 {
		w += drain
	}
	return w
}

func (s *sched) pickByRank() (best *task, drain bool) {
	top := 0
	for _, t := range s.tasks {
		if t.state == taskReady && (best == nil || t.rank > top) {
			best, drain, top = t, false, t.rank
		}
		if len(t.buffer) > 0 && (best == nil || t.drainRank > top) {
			best, drain, top = t, true, t.drainRank
		}
	}
	for i, at := range s.plan.changes {
		if at == s.steps && best != nil {
			s.plan.changes[i] = -1
			s.plan.last--
			best.sink(drain, s.plan.last)
			return s.pickByRank()
		}
	}
	return best, drain
}

func (t *task) sink(drain bool, rank int) {
	if drain {
		t.drainRank = rank
	} else {
		t.rank = rank
	}
}

func (s *sched) wakeAnybody() {
	for _, t := range s.tasks {
		if t.state == taskAsleep && t.bed != nil && s.rng.IntN(2) == 0 {
			t.wake("for no reason")
		}
	}
}
