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
	"github.com/stretchr/testify/require"
)

// Schedules run with
//
//	go test -tags shmsteps -run Schedule ./ring -schedule.n=1000000
//
// and one that has failed, with what it printed and the name of its scenario, with
//
//	go test -tags shmsteps -run Schedule/NAME -v ./ring -schedule.seed=SEED -schedule.number=NUMBER

var (
	scheduleN      = flag.Int("schedule.n", 100_000, "schedules to run, over all scenarios")
	scheduleEach   = flag.Int("schedule.each", 0, "schedules to run of each scenario, instead of its share of schedule.n")
	scheduleSeed   = flag.Uint64("schedule.seed", 0, "seed of the schedules; 0 takes that of SHMTEST_SEED or a new one")
	scheduleNumber = flag.Int64("schedule.number", -1, "run only this schedule of the seed, and tell its steps")
)

// maxSteps is many times what the longest schedule needs.
const maxSteps = 50_000

// maxTold is how many of the last steps of a failed schedule are printed.
const maxTold = 400

// shortestOf is among how many schedules the shortest failure is looked for.
const shortestOf = 1000

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

// explore runs a number of schedules of a scenario. If one fails, the shortest of those that fail soon after it is run
// again with its steps told.
func explore(t *testing.T, l *lab, share float64, setUp scenario) {
	t.Helper()
	seed := *scheduleSeed
	if seed == 0 {
		seed = shmtest.Rand(t).Uint64()
	}
	if *scheduleNumber >= 0 {
		told, err := l.tell(seed, uint64(*scheduleNumber), setUp)
		t.Log(told)
		require.NoError(t, err)
		return
	}
	count := uint64(max(1, float64(*scheduleN)*share))
	if *scheduleEach > 0 {
		count = uint64(*scheduleEach)
	}
	steps := 0
	for number := range count {
		if err := l.once(seed, number, nil, setUp); err != nil {
			l.report(t, seed, number, setUp)
			return
		}
		steps += l.s.steps
	}
	t.Logf("%d schedules of seed %d, %d steps", count, seed, steps)
}

// report fails the test with the shortest of the schedules from first on that fail.
func (l *lab) report(t *testing.T, seed, first uint64, setUp scenario) {
	t.Helper()
	shortest, steps := first, maxSteps+1
	for number := first; number < first+shortestOf; number++ {
		if l.once(seed, number, nil, setUp) != nil && l.s.steps < steps {
			shortest, steps = number, l.s.steps
		}
	}
	told, err := l.tell(seed, shortest, setUp)
	t.Fatalf("%s\nschedule %d of seed %d: %v\n(the first that failed: %d)", told, shortest, seed, err, first)
}

// tell runs one schedule and returns its steps in words.
func (l *lab) tell(seed, number uint64, setUp scenario) (told string, err error) {
	tr := &trace{}
	err = l.once(seed, number, tr, setUp)
	return fmt.Sprintf("-schedule.seed=%d -schedule.number=%d, %d steps:\n%v", seed, number, l.s.steps, tr), err
}

// once runs one schedule.
func (l *lab) once(seed, number uint64, tr *trace, setUp scenario) error {
	s := &sched{rng: rand.New(rand.NewPCG(seed, number)), limit: maxSteps, trace: tr}
	l.s = s
	s.makePlan()
	check := setUp(l)
	if err := s.run(); err != nil {
		return err
	}
	return check()
}

// What a failure prints must be enough to see it again.
func TestScheduleIsRepeatable(t *testing.T) {
	most := sharedGeometries[len(sharedGeometries)-1]
	setUp := func(l *lab) func() error {
		m := newMany(l, sharedGeometries)
		m.lives = 3
		m.startProducer("P1", 5)
		m.startProducer("P2", 5)
		m.startConsumer()
		return m.finish
	}
	seed := shmtest.Rand(t).Uint64()
	different := map[string]bool{}
	for number := range uint64(20) {
		first, _ := newLab(t, most.ProducerBytes(), most.ConsumerBytes()).tell(seed, number, setUp)
		again, _ := newLab(t, most.ProducerBytes(), most.ConsumerBytes()).tell(seed, number, setUp)
		require.Equal(t, first, again)
		different[first] = true
	}
	require.Len(t, different, 20)
}
