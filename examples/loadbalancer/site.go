package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"time"
)

// A lab runs sites behind one front, one at a time.
type lab struct {
	front  *front
	log    *log.Logger
	stderr io.Writer // for the children
}

// serverCount is how many application servers stand behind a balancer: one to kill, and one to go on with.
const serverCount = 2

// A site is the application servers and the balancer before them.
type site struct {
	dir      string // holds the sockets
	servers  []*child
	balancer *balancer
}

func (l *lab) open(tr transport) (*site, error) {
	dir, err := os.MkdirTemp("", "shmwire-lb-")
	if err != nil {
		return nil, err
	}
	s := &site{dir: dir}
	for i := range serverCount {
		name := fmt.Sprintf("app-%d", i+1)
		server, err := startChild(name, l.stderr, serverRole, "-transport", tr.name, "-addr", tr.addr(dir, name))
		if err != nil {
			return nil, errors.Join(err, s.close())
		}
		l.log.Printf("%s serves %s at %s, pid %d", name, tr.name, server.addr, server.pid())
		s.servers = append(s.servers, server)
	}
	s.balancer = newBalancer(tr, s.servers, l.log)
	l.front.balancer.Store(s.balancer)
	return s, nil
}

func (l *lab) close(s *site) error {
	l.front.balancer.Store(nil)
	s.balancer.close()
	return s.close()
}

func (s *site) close() error {
	var errs []error
	for _, server := range s.servers {
		errs = append(errs, server.stop())
	}
	return errors.Join(append(errs, os.RemoveAll(s.dir))...)
}

// measure sends traffic through a new site, kills one of its servers halfway, and judges what the clients saw.
func (l *lab) measure(ctx context.Context, tr transport, opts options) (r row, err error) {
	s, err := l.open(tr)
	if err != nil {
		return row{}, err
	}
	defer func() { err = errors.Join(err, l.close(s)) }()

	begin := time.Now()
	t, k, err := load{url: l.front.url(), clients: opts.clients, duration: opts.duration}.drive(ctx, func() (killing, error) {
		k, err := s.servers[0].kill()
		l.log.Printf("killed %s: gone after %v", k.victim, k.gone.Sub(k.sent))
		return k, err
	})
	took := time.Since(begin)
	if err != nil {
		return row{}, err
	}
	excused, err := t.judge(k)
	if err != nil {
		return row{}, err
	}
	hop := s.balancer.hop()
	if tr.want != "" && hop.used != tr.want {
		return row{}, fmt.Errorf("the balancer's connections ran over %q (%s), want %q alone", hop.used, hop.why, tr.want)
	}
	return newRow(tr.name, hop, t.latencies, excused, s.balancer.retries.Load(), took), nil
}

// serve keeps a site open until ctx is done.
func (l *lab) serve(ctx context.Context, tr transport, stdout io.Writer) (err error) {
	s, err := l.open(tr)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.close(s)) }()
	fmt.Fprintf(stdout, "\nserving %s/page/0 to /page/%d and POST /echo over %s until Ctrl-C\n", l.front.url(), pageCount-1, tr.name)
	for _, server := range s.servers {
		fmt.Fprintf(stdout, "%s is process %d\n", server.name, server.pid())
	}
	<-ctx.Done()
	return nil
}
