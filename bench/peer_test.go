package bench_test

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"runtime"
	"time"

	"github.com/shmwire/shmwire"
	"github.com/shmwire/shmwire/internal/sys"
)

// join opens the child's end of a link.
func join(s spec, control *net.UnixConn, owner int) (link, error) {
	switch s.Transport {
	case "shm":
		return openRings(control, s)
	case "shm-mpsc":
		return joinMany(s, owner)
	case "conn":
		return connLink(shmwire.Inherit(uintptr(s.FD), connConfig(s.Wait, s.Ring)))
	case "socketpair":
		return netLink(fileConn(s.FD))
	case "fifo":
		return fifoLink(s.Address[0], s.Address[1])
	}
	return netLink(net.Dial(s.Transport, s.Address[0]))
}

// fileConn is the inherited socket fd, which it takes over.
func fileConn(fd int) (net.Conn, error) {
	f := os.NewFile(uintptr(fd), "inherited")
	defer f.Close() // FileConn works on a duplicate
	return net.FileConn(f)
}

// peerRole is a child: it answers, consumes or produces as ordered over the control socket, until that ends.
func peerRole(args []string) int {
	conn, err := fileConn(controlFD)
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		return 1
	}
	control := conn.(*net.UnixConn)
	if err := serve(control, args[0]); err != nil {
		_ = json.NewEncoder(control).Encode(report{Err: err.Error()})
		return 1
	}
	return 0
}

func serve(control *net.UnixConn, args string) error {
	var s setup
	if err := json.Unmarshal([]byte(args), &s); err != nil {
		return err
	}
	if err := sys.PinProcess(s.CPU); err != nil {
		return err
	}
	runtime.GOMAXPROCS(s.Procs)
	var ends []*end
	for _, spec := range s.Links {
		l, err := join(spec, control, s.Owner)
		if err != nil {
			return fmt.Errorf("open %s: %w", spec.Transport, err)
		}
		ends = append(ends, newEnd(l, spec, s.Owner))
	}
	started, err := json.Marshal(report{Started: true})
	if err != nil {
		return err
	}
	in, out := json.NewDecoder(control), json.NewEncoder(control)
	for worker := (worker{started: append(started, '\n'), control: control, blocks: make([]int64, 0, maxBlocks)}); ; {
		if err := worker.begin(); err != nil {
			return err
		}
		var o order
		if err := in.Decode(&o); err != nil {
			return nil // the parent has gone
		}
		r, err := worker.work(ends, o)
		if err != nil {
			return err
		}
		if err := in.Decode(&o); err != nil || o.Op != "report" {
			return nil
		}
		if err := out.Encode(r); err != nil {
			return nil
		}
	}
}

// worker does orders so that nothing is allocated while it is counted.
type worker struct {
	control *net.UnixConn
	started []byte
	blocks  []int64
	greeted bool
	before  runtime.MemStats
	after   runtime.MemStats
}

// begin tells the parent, once, that all links are open.
func (w *worker) begin() error {
	if w.greeted {
		return nil
	}
	w.greeted = true
	_, err := w.control.Write(w.started)
	return err
}

func (w *worker) work(ends []*end, o order) (r report, err error) {
	e := ends[o.Link]
	runtime.ReadMemStats(&w.before)
	if _, err := w.control.Write(w.started); err != nil {
		return r, err
	}
	begin := e.clock()
	switch o.Op {
	case "echo":
		r.Messages, err = e.echo()
	case "produce":
		err = e.produce(o.Block, begin+time.Until(time.Unix(0, o.Until)))
	case "send":
		err = e.burst(o.Count)
	case "consume":
		r.Messages, r.Blocks, err = e.consume(o.Block, w.blocks)
	default:
		err = fmt.Errorf("order %q", o.Op)
	}
	r.Elapsed = int64(e.clock() - begin)
	runtime.ReadMemStats(&w.after)
	r.Mallocs = w.after.Mallocs - w.before.Mallocs
	return r, err
}
