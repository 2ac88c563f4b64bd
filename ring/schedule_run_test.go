//go:build shmsteps

package ring_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/shmwire/shmwire/internal/mem"
	"github.com/shmwire/shmwire/internal/shmtest"
)

var (
	scheduleN      = flag.Int("schedule.n", 100_000, "schedules to run, over all scenarios")
	scheduleSeed   = flag.Uint64("schedule.seed", 0, "seed of the schedules; 0 takes that of SHMTEST_SEED or a new one")
	scheduleNumber = flag.Int64("schedule.number", -1, "run only this schedule of the seed, and tell its steps")
)

// maxSteps is many times what the longest schedule needs.
const maxSteps = 50_000

// maxTold is how many of the last steps of a failed schedule are printed.
const maxTold = 400

// trace remembers the steps of a schedule.
type trace struct{ lines []string }

func (s *sched) tracef(t *task, format string, args ...any) {
	if s.trace != nil {
		s.trace.lines = append(s.trace.lines, fmt.Sprintf("%5d %-4s ", s.steps, t.name)+fmt.Sprintf(format, args...))
	}
}

func (tr *trace) String() string {
	lines := tr.lines
	if skip := len(lines) - maxTold; skip > 0 {
		lines = append([]string{fmt.Sprintf("... %d lines before", skip)}, lines[skip:]...)
	}
	return strings.Join(lines, "\n")
}

// told returns what an access did, for a trace.
func told(a mem.Access, was uint64) string {
	if is := result(a, was); a.Kind != mem.AccessLoad {
		return fmt.Sprintf("%#x -> %#x", was, is)
	}
	return fmt.Sprintf("%#x", was)
}

// lab is what schedules of one scenario use one after the other.
type lab struct {
	s          *sched
	prod, cons *space
}

func newLab(t *testing.T, prodBytes, consBytes int) *lab {
	t.Helper()
	l := &lab{}
	current := func() *sched { return l.s }
	l.prod = newSpace(t, "producer", prodBytes, current)
	l.cons = newSpace(t, "consumer", consBytes, current)
	return l
}

// scenario sets up the tasks of l.s; what it returns is called when all are over, and says what is wrong then.
type scenario func(l *lab) (check func() error)

// explore runs a number of schedules of a scenario. The first that fails is run again with its steps told.
func explore(t *testing.T, l *lab, share float64, setUp scenario) {
	t.Helper()
	seed := *scheduleSeed
	if seed == 0 {
		seed = shmtest.Rand(t).Uint64()
	}
	from, to := uint64(0), uint64(max(1, float64(*scheduleN)*share))
	if *scheduleNumber >= 0 {
		from = uint64(*scheduleNumber)
		to = from + 1
	}
	steps := 0
	for number := from; number < to; number++ {
		err := l.once(seed, number, nil, setUp)
		steps += l.s.steps
		if err == nil && *scheduleNumber < 0 {
			continue
		}
		tr := &trace{}
		again := l.once(seed, number, tr, setUp)
		t.Logf("-schedule.seed=%d -schedule.number=%d, %d steps:\n%v", seed, number, l.s.steps, tr)
		if err != nil {
			t.Fatalf("schedule %d of seed %d: %v\n(repeated: %v)", number, seed, err, again)
		}
	}
	t.Logf("%d schedules of seed %d, %d steps", to-from, seed, steps)
}

// once runs one schedule.
func (l *lab) once(seed, number uint64, tr *trace, setUp scenario) error {
	s := &sched{number: number, rng: rand.New(rand.NewPCG(seed, number)), limit: maxSteps, trace: tr}
	l.s = s
	s.makePlan()
	check := setUp(l)
	if err := s.run(); err != nil {
		return err
	}
	return check()
}
