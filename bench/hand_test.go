package bench_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"testing"

	"github.com/shmwire/shmwire"
	"github.com/shmwire/shmwire/internal/shmtest"
)

// spec is a link as all its processes must know it.
type spec struct {
	Transport, Wait string
	Size            int      // of a message, bytes
	Batch           int      // messages published together
	Ring            int      // bytes
	Slot            int      // bytes
	InPlace         bool     // a stream is written and read where it lies in the ring
	Producers       int      // of a ring with many; 0: it has one
	Address         []string // where a child finds it: a path, a network address, two fifos, a segment
	FD              int      // the child's descriptor for it; 0: none
}

// setup is what a child is started with.
type setup struct {
	CPU, Procs int
	Links      []spec
	Owner      int // which producer of the link it is, from 2; 0: the other side of all links
}

// order is what this process wants of a child. The child says so when it begins, and works to the last message.
type order struct {
	Op    string // "echo", "consume", "produce", "send"; "report" for what came of it
	Link  int
	Block int   // consume: messages timed together, 0: none are; produce: messages between two looks at the clock
	Until int64 // produce: when to stop, ns since 1970
	Count int   // send: messages before the last
}

// report is what a child says, always unasked if it is an error.
type report struct {
	Started  bool
	Err      string
	Messages int
	Elapsed  int64   // ns
	Blocks   []int64 // ns
	Mallocs  uint64
}

// hand is a child that does what it is ordered to: the other side of all links, or one more producer of the first.
type hand struct {
	child   *shmtest.Process
	control *net.UnixConn
	orders  *json.Encoder
	reports chan report
}

// newHand returns a hand to be started, and the child's end of its control socket.
func newHand(tb testing.TB) (*hand, *os.File, error) {
	tb.Helper()
	control, childEnd, err := shmwire.Socketpair()
	if err != nil {
		return nil, nil, err
	}
	tb.Cleanup(func() { _ = control.Close() })
	return &hand{control: control, orders: json.NewEncoder(control), reports: make(chan report, 1)}, childEnd, nil
}

// start starts the child, who inherits the files; this process's are closed.
func (h *hand) start(tb testing.TB, files []*os.File, s setup) error {
	tb.Helper()
	args, err := json.Marshal(s)
	if err != nil {
		return errors.Join(err, closeAll(files))
	}
	h.child = shmtest.ChildFiles(tb, files, "peer", string(args))
	return closeAll(files)
}

// hear begins to listen to a child, until it ends or tb does.
func (p *pair) hear(tb testing.TB, h *hand) {
	tb.Helper()
	listening := make(chan struct{})
	go p.listen(h, listening)
	tb.Cleanup(func() { h.child.Kill(); <-listening })
}

// listen passes a child's reports on. An error, or the child's end, ends everything that waits for the other processes.
func (p *pair) listen(h *hand, done chan<- struct{}) {
	defer close(done)
	defer close(h.reports)
	for in := json.NewDecoder(h.control); ; {
		var r report
		if err := in.Decode(&r); err != nil {
			p.abort(fmt.Errorf("the peer process ended: %w", err))
			return
		}
		if r.Err != "" {
			p.abort(errors.New("peer process: " + r.Err))
			return
		}
		h.reports <- r
	}
}

// order sends the child an order and returns when it begins.
func (p *pair) order(o order) error { return p.orderTo(p.hand, o) }

// orderOthers is order for all other producers.
func (p *pair) orderOthers(o order) error {
	for _, h := range p.others {
		if err := p.orderTo(h, o); err != nil {
			return err
		}
	}
	return nil
}

func (p *pair) orderTo(h *hand, o order) error {
	if err := h.orders.Encode(o); err != nil {
		return p.verdict(err)
	}
	return p.awaitStart(h)
}

func (p *pair) awaitStart(h *hand) error {
	if r, ok := p.next(h); !ok || !r.Started {
		return p.verdict(fmt.Errorf("the child did not begin, but says %+v", r))
	}
	return nil
}

// next returns a child's next report; ok=false means that there will be none, whoever's fault that is.
func (p *pair) next(h *hand) (r report, ok bool) {
	select {
	case r, ok = <-h.reports:
	case <-p.over:
	}
	return r, ok
}

// report returns what came of the child's last order, once it is done.
func (p *pair) report() (report, error) { return p.reportOf(p.hand) }

// reportOthers waits until the other producers are done and returns what they allocated.
func (p *pair) reportOthers() (mallocs uint64, err error) {
	for _, h := range p.others {
		r, err := p.reportOf(h)
		if err != nil {
			return 0, err
		}
		mallocs += r.Mallocs
	}
	return mallocs, nil
}

func (p *pair) reportOf(h *hand) (report, error) {
	if err := h.orders.Encode(order{Op: "report"}); err != nil {
		return report{}, p.verdict(err)
	}
	r, ok := p.next(h)
	if !ok {
		return r, p.verdict(errAborted)
	}
	return r, nil
}
