package bench_test

import (
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

// controlFD is a child's descriptor of its control socket; the links' follow.
const controlFD = 3

// maxBlocks is how many blocks a child reports of one slice.
const maxBlocks = 1 << 14

// pair is two processes, this one and a child, with links between them, and perhaps further producers of the first link.
// Each is pinned to its processor with all its threads: a goroutine locked to one thread would be handed over to it by
// another thread at every wake-up, which no user of the library pays.
type pair struct {
	*hand          // the child
	others []*hand // producers beside this process, on its processor
	ends   []*end

	mu     sync.Mutex
	failed error         // why the pair was given up
	over   chan struct{} // closed then
}

// cpuPair is where the two processes run.
type cpuPair [2]int

// startPair starts the child, opens the links and pins both processes, and then starts the other producers. They are
// ended, and this process released, when tb ends.
func startPair(tb testing.TB, cpus cpuPair, links []spec) (*pair, error) {
	tb.Helper()
	child, childEnd, err := newHand(tb)
	if err != nil {
		return nil, err
	}
	p := &pair{hand: child, over: make(chan struct{})}
	files := []*os.File{childEnd}
	opens := make([]func() (link, error), len(links))
	for i := range links {
		file, open, err := offer(tb, &links[i], p.control)
		if err != nil {
			return nil, errors.Join(err, closeAll(files))
		}
		if file != nil {
			links[i].FD = controlFD + len(files)
			files = append(files, file)
		}
		opens[i] = open
	}
	procs := procsOn(cpus)
	if err := child.start(tb, files, setup{CPU: cpus[1], Procs: procs, Links: links}); err != nil {
		return nil, err
	}
	for i, open := range opens {
		l, err := open()
		if err != nil {
			return nil, fmt.Errorf("open %s: %w", links[i].Transport, err)
		}
		tb.Cleanup(func() { _ = l.close() })
		p.ends = append(p.ends, newEnd(l, links[i], 1))
	}
	p.hear(tb, child)
	if err := p.pin(tb, cpus[0], procs); err != nil {
		return nil, err
	}
	if err := p.awaitStart(child); err != nil { // it has opened its ends too
		return nil, err
	}
	return p, p.startOthers(tb, setup{CPU: cpus[0], Procs: procs}, links)
}

// startOthers starts the producers of the first link that this process is not, if it has many.
func (p *pair) startOthers(tb testing.TB, s setup, links []spec) error {
	tb.Helper()
	if len(links) == 0 || links[0].Producers == 0 {
		return nil
	}
	s.Links = links[:1]
	for s.Owner = 2; s.Owner <= links[0].Producers; s.Owner++ {
		h, childEnd, err := newHand(tb)
		if err != nil {
			return err
		}
		if err := h.start(tb, []*os.File{childEnd}, s); err != nil {
			return err
		}
		p.others = append(p.others, h)
		p.hear(tb, h)
		if err := p.awaitStart(h); err != nil {
			return err
		}
	}
	return p.ends[0].link.(*ringLink).settle()
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
		return nil, func() (link, error) { return openRings(control, *s) }, nil
	case "shm-mpsc":
		open, err := offerMany(tb, s)
		return nil, open, err
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

// guard gives the pair up if what follows takes longer than anything should. The caller stops the timer.
func (p *pair) guard(limit time.Duration) *time.Timer {
	return time.AfterFunc(limit, func() { p.abort(fmt.Errorf("no end within %v: a message or a wake-up is lost", limit)) })
}
