package bench_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/shmwire/shmwire"
	"github.com/shmwire/shmwire/internal/shmtest"
	"github.com/shmwire/shmwire/internal/sys"
)

// spec is a link as both processes must know it.
type spec struct {
	Transport, Wait string
	Size            int      // of a message, bytes
	Batch           int      // messages published together
	Ring            int      // bytes
	Address         []string // where the child finds it: a path, a network address, two fifos
	FD              int      // the child's descriptor for it; 0: none
}

// setup is what the child is started with.
type setup struct {
	CPU, Procs int
	Links      []spec
}

// order is what the parent wants of the child. The child says so when it begins, and works to the last message.
type order struct {
	Op    string // "echo", "consume"; "report" for what came of it
	Link  int
	Block int // consume: messages timed together; 0: none are
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

// controlFD is the child's descriptor of the control socket; the links' follow.
const controlFD = 3

// maxBlocks is how many blocks a child reports of one slice.
const maxBlocks = 1 << 14

// pair is two processes, this one and a child, with links between them. Each is pinned to its processor with all its
// threads: a goroutine locked to one thread would be handed over to it by another thread at every wake-up, which no user
// of the library pays.
type pair struct {
	child   *shmtest.Process
	control *net.UnixConn
	orders  *json.Encoder
	reports chan report
	ends    []*end

	mu     sync.Mutex
	failed error         // why the pair was given up
	over   chan struct{} // closed then
}

// cpuPair is where the two processes run.
type cpuPair [2]int

// startPair starts the child, opens the links and pins both processes. They are ended, and this process released, when
// tb ends.
func startPair(tb testing.TB, cpus cpuPair, links []spec) (*pair, error) {
	tb.Helper()
	procs := procsOn(cpus)
	control, childEnd, err := shmwire.Socketpair()
	if err != nil {
		return nil, err
	}
	p := &pair{control: control, orders: json.NewEncoder(control), reports: make(chan report, 1), over: make(chan struct{})}
	tb.Cleanup(func() { _ = control.Close() })
	files := []*os.File{childEnd}
	opens := make([]func() (link, error), len(links))
	for i := range links {
		file, open, err := offer(tb, &links[i], control)
		if err != nil {
			return nil, errors.Join(err, closeAll(files))
		}
		if file != nil {
			links[i].FD = controlFD + len(files)
			files = append(files, file)
		}
		opens[i] = open
	}
	args, err := json.Marshal(setup{CPU: cpus[1], Procs: procs, Links: links})
	if err != nil {
		return nil, errors.Join(err, closeAll(files))
	}
	p.child = shmtest.ChildFiles(tb, files, "peer", string(args))
	if err := closeAll(files); err != nil {
		return nil, err
	}
	for i, open := range opens {
		l, err := open()
		if err != nil {
			return nil, fmt.Errorf("open %s: %w", links[i].Transport, err)
		}
		tb.Cleanup(func() { _ = l.close() })
		p.ends = append(p.ends, newEnd(l, links[i].Size, links[i].Batch))
	}
	listening := make(chan struct{})
	go p.listen(listening)
	tb.Cleanup(func() { p.child.Kill(); <-listening })
	if err := p.pin(tb, cpus[0], procs); err != nil {
		return nil, err
	}
	return p, p.awaitStart() // the child has opened its ends too
}

// procsOn is GOMAXPROCS for two processes: both on one processor have one each, as in a container of that size.
func procsOn(cpus cpuPair) int {
	if cpus[0] == cpus[1] {
		return 1
	}
	return runtime.GOMAXPROCS(0)
}

func closeAll(files []*os.File) error {
	var errs []error
	for _, f := range files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

// pin moves this process to its processor until tb ends.
func (p *pair) pin(tb testing.TB, cpu, procs int) error {
	all, err := sys.AllowedCPUs()
	if err != nil {
		return err
	}
	if err := sys.PinProcess(cpu); err != nil {
		return err
	}
	before := runtime.GOMAXPROCS(procs)
	tb.Cleanup(func() {
		runtime.GOMAXPROCS(before)
		if err := sys.PinProcess(all...); err != nil {
			tb.Errorf("release the process: %v", err)
		}
	})
	return nil
}

// offer prepares a link: what the child inherits, and how this process opens its end once the child runs.
func offer(tb testing.TB, s *spec, control *net.UnixConn) (*os.File, func() (link, error), error) {
	tb.Helper()
	switch s.Transport {
	case "shm":
		return nil, func() (link, error) { return openRings(control, s.Wait, s.Ring) }, nil
	case "conn":
		uc, file, err := shmwire.Socketpair()
		return file, func() (link, error) { return connLink(shmwire.NewConn(uc, connConfig(s.Wait, s.Ring))) }, err
	case "socketpair":
		uc, file, err := shmwire.Socketpair()
		return file, func() (link, error) { return netLink(uc, nil) }, err
	case "unix":
		return listen(tb, s, "unix", shmtest.SocketPath(tb))
	case "tcp":
		return listen(tb, s, "tcp", "127.0.0.1:0")
	case "fifo":
		dir := filepath.Dir(shmtest.SocketPath(tb))
		there, back := filepath.Join(dir, "there"), filepath.Join(dir, "back")
		s.Address = []string{there, back}
		err := errors.Join(makeFifo(there), makeFifo(back))
		return nil, func() (link, error) { return fifoLink(back, there) }, err
	}
	return nil, nil, fmt.Errorf("no transport %q", s.Transport)
}

// listen prepares a link that the child dials.
func listen(tb testing.TB, s *spec, network, address string) (*os.File, func() (link, error), error) {
	tb.Helper()
	ln, err := net.Listen(network, address)
	if err != nil {
		return nil, nil, err
	}
	tb.Cleanup(func() { _ = ln.Close() })
	s.Address = []string{ln.Addr().String()}
	// A child that dies before it dials must not hang us.
	if d, ok := ln.(interface{ SetDeadline(t time.Time) error }); ok {
		if err := d.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
			return nil, nil, err
		}
	}
	return nil, func() (link, error) { return netLink(ln.Accept()) }, nil
}

// listen passes the child's reports on. An error, or the child's end, ends everything that waits for the child.
func (p *pair) listen(done chan<- struct{}) {
	defer close(done)
	defer close(p.reports)
	for in := json.NewDecoder(p.control); ; {
		var r report
		if err := in.Decode(&r); err != nil {
			p.abort(fmt.Errorf("the peer process ended: %w", err))
			return
		}
		if r.Err != "" {
			p.abort(errors.New("peer process: " + r.Err))
			return
		}
		p.reports <- r
	}
}

// abort notes why and makes every call on a link fail.
func (p *pair) abort(why error) {
	p.mu.Lock()
	if p.failed == nil {
		p.failed = why
		close(p.over)
	}
	p.mu.Unlock()
	for _, e := range p.ends {
		e.link.interrupt()
	}
}

// verdict is why the pair was given up, or else err. A peer that ends is seen on the link, often, before its last words
// are heard: they are waited for.
func (p *pair) verdict(err error) error {
	timer := time.NewTimer(time.Second)
	defer timer.Stop()
	select {
	case <-p.over:
	case <-timer.C:
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.failed != nil {
		return p.failed
	}
	return err
}

// order sends an order and returns when the child begins.
func (p *pair) order(o order) error {
	if err := p.orders.Encode(o); err != nil {
		return p.verdict(err)
	}
	return p.awaitStart()
}

func (p *pair) awaitStart() error {
	if r, ok := <-p.reports; !ok || !r.Started {
		return p.verdict(fmt.Errorf("the child did not begin, but says %+v", r))
	}
	return nil
}

// report returns what came of the last order, once the child has done it.
func (p *pair) report() (report, error) {
	if err := p.orders.Encode(order{Op: "report"}); err != nil {
		return report{}, p.verdict(err)
	}
	r, ok := <-p.reports
	if !ok {
		return r, p.verdict(errAborted)
	}
	return r, nil
}

// guard gives the pair up if what follows takes longer than anything should. The caller stops the timer.
func (p *pair) guard(limit time.Duration) *time.Timer {
	return time.AfterFunc(limit, func() { p.abort(fmt.Errorf("no end within %v: a message or a wake-up is lost", limit)) })
}
