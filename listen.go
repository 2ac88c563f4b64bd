package shmwire

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/shmwire/shmwire/fallback"
)

// Listener accepts connections on a Unix socket. Its methods may be called from any goroutine.
type Listener struct {
	cfg    *Config
	socket *fallback.Rendezvous
	budget *budget

	ctx    context.Context // ends with the listener
	stop   context.CancelFunc
	ready  chan *Conn // handshake done, to be accepted
	places chan struct{}
	tasks  sync.WaitGroup // the accepting goroutine and the handshakes
	failed error          // why the accepting goroutine ended; set before broken is closed
	broken chan struct{}
}

var _ net.Listener = (*Listener)(nil)

// Listen listens on a Unix socket at path, of at most 107 bytes, whose file it creates with mode 0600 and removes at
// Close. The file that a dead listener left is replaced.
//
// Errors: a Config field out of range; a path that is too long; one that exists and is no socket (Is [os.ErrExist]) or
// has a live listener (Is syscall.EADDRINUSE); what the file system says.
func Listen(path string, cfg *Config) (*Listener, error) {
	full, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	socket, err := fallback.Listen(path)
	if err != nil {
		return nil, &net.OpError{Op: "listen", Net: "unix", Addr: &net.UnixAddr{Name: path, Net: "unix"}, Err: err}
	}
	l := &Listener{
		cfg: full, socket: socket, budget: newBudget(full),
		ready: make(chan *Conn), places: make(chan struct{}, full.MaxPending), broken: make(chan struct{}),
	}
	l.ctx, l.stop = context.WithCancel(context.Background())
	l.tasks.Add(1)
	go l.acceptAll()
	return l, nil
}

// acceptAll hands every connection to a goroutine of its own, so that a slow handshake holds up nobody.
func (l *Listener) acceptAll() {
	defer l.tasks.Done()
	pause := time.Duration(0)
	for {
		uc, err := l.socket.Accept()
		switch {
		case err == nil:
			pause = 0
			l.begin(uc)
		case errors.Is(err, net.ErrClosed):
			return
		case transient(err): // descriptors are short: others may give some back
			pause = min(max(2*pause, time.Millisecond), time.Second)
			if !l.sleep(pause) {
				return
			}
		default:
			l.failed = err
			close(l.broken)
			return
		}
	}
}

func transient(err error) bool {
	t, ok := errors.AsType[interface {
		error
		Temporary() bool
	}](err)
	return ok && t.Temporary()
}

// sleep reports whether the listener is still open after d.
func (l *Listener) sleep(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-l.ctx.Done():
		return false
	}
}

// begin starts the handshake on uc, if there is a place for it.
func (l *Listener) begin(uc *net.UnixConn) {
	select {
	case l.places <- struct{}{}:
		l.tasks.Add(1)
		go l.shake(uc)
	default:
		_ = uc.Close()
		l.reject(Peer{-1, -1, -1}, &HandshakeError{
			Stage: "hello", Got: "one connection more", Want: fmt.Sprintf("at most %d pending", l.cfg.MaxPending),
		})
	}
}

func (l *Listener) shake(uc *net.UnixConn) {
	defer l.tasks.Done()
	defer func() { <-l.places }()
	c, peer, err := establish(l.ctx, uc, l.cfg, true, l.budget)
	if err != nil {
		if l.ctx.Err() == nil {
			l.reject(peer, err)
		}
		return
	}
	select {
	case l.ready <- c:
	case <-l.ctx.Done():
		_ = c.Close()
	}
}

func (l *Listener) reject(p Peer, err error) {
	if l.cfg.OnReject != nil {
		l.cfg.OnReject(p, err)
	}
}

// Accept waits for a connection; see AcceptConn. The result is a *[Conn].
func (l *Listener) Accept() (net.Conn, error) {
	c, err := l.AcceptConn()
	if err != nil {
		return nil, err
	}
	return c, nil
}

// AcceptConn waits for a connection whose handshake is done. A peer whose handshake fails is reported to
// Config.OnReject and holds up nobody. After Close it returns an error that Is [net.ErrClosed].
func (l *Listener) AcceptConn() (*Conn, error) {
	select { // closed wins over a connection that waits
	case <-l.ctx.Done():
		return nil, l.acceptError(net.ErrClosed)
	default:
	}
	select {
	case c := <-l.ready:
		return c, nil
	case <-l.ctx.Done():
		return nil, l.acceptError(net.ErrClosed)
	case <-l.broken:
		return nil, l.acceptError(l.failed)
	}
}

func (l *Listener) acceptError(err error) error {
	return &net.OpError{Op: "accept", Net: "unix", Addr: l.Addr(), Err: err}
}

// Addr returns the address of the socket, of network "unix".
func (l *Listener) Addr() net.Addr { return l.socket.Addr() }

// Close removes the socket file and stops listening. Handshakes under way are cut short, and connections that nobody
// has accepted are closed; accepted ones go on. It returns when all of that is done.
func (l *Listener) Close() error {
	l.stop()
	err := l.socket.Close()
	l.tasks.Wait()
	return err
}
