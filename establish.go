package shmwire

import (
	"context"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/shmwire/shmwire/fallback"
	"github.com/shmwire/shmwire/internal/sys"
)

// establish shakes hands on uc, which it takes over, and returns the connection. Peer is what is known of the other
// end, also where it errs. The end of ctx cuts the handshake short.
func establish(ctx context.Context, uc *net.UnixConn, cfg *Config, answer bool, b *budget) (*Conn, Peer, error) {
	unhook := func() bool { return true }
	m := &sharedMemory{cfg: cfg, budget: b, wait: cfg.Wait, uid: -1}
	result, err := fallback.Handshake(uc, fallback.Params{
		Begun:  func() { unhook = context.AfterFunc(ctx, func() { _ = uc.SetDeadline(time.Unix(1, 0)) }) },
		Answer: answer, Timeout: cfg.HandshakeTimeout, Hello: cfg.hello(),
		Authorize: func(c fallback.Cred) error {
			if c.Known {
				m.uid = c.UID
			}
			return cfg.authorize(c)
		},
		Make: m.make, Take: m.take,
	})
	if !unhook() && err == nil { // ctx ended; its deadline may come at any moment
		err = &HandshakeError{Stage: "ready", Got: "the end of the context", Want: "ready", Err: ctx.Err()}
	}
	if err != nil {
		m.free()
		_ = uc.Close()
		return nil, peerOf(result.Peer), err
	}
	c, err := connect(uc, result, m)
	if err != nil {
		m.free()
		_ = uc.Close()
		return nil, peerOf(result.Peer), fmt.Errorf("set up the connection: %w", err)
	}
	return c, c.peer, nil
}

// connect makes the connection that the handshake settled.
func connect(uc *net.UnixConn, r fallback.Result, m *sharedMemory) (*Conn, error) {
	c := newConn(uc, peerOf(r.Peer))
	if !r.Shared {
		m.free()
		g := geometryOf(r.Agreed)
		c.useSocket(uc, r.Reason, g.MaxRecord())
		return c, nil
	}
	return c, c.useMemory(uc, m)
}

// Dial connects to the listener at path. ctx covers dialling and the handshake, which takes at most
// Config.HandshakeTimeout; the connection does not depend on it.
//
// Errors: those of connecting to a Unix socket, as *[net.OpError]; [*HandshakeError]; a Config field out of range.
func Dial(ctx context.Context, path string, cfg *Config) (*Conn, error) {
	full, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := fallback.CheckPath(path); err != nil {
		return nil, dialError(path, err)
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	c, _, err := establish(ctx, conn.(*net.UnixConn), full, false, nil)
	if err != nil {
		if ctx.Err() != nil {
			err = fmt.Errorf("%w: %w", err, ctx.Err())
		}
		return nil, dialError(path, err)
	}
	return c, nil
}

func dialError(path string, err error) error {
	return &net.OpError{Op: "dial", Net: "unix", Addr: &net.UnixAddr{Name: path, Net: "unix"}, Err: err}
}

// NewConn makes a connection over a Unix stream socket that is connected already: inherited from a parent process,
// passed by another one, or an end of a socketpair. The process at its other end calls NewConn too, at the same time.
// It takes uc over, also where it errs.
//
// Errors: [*HandshakeError]; a Config field out of range; a socket that is no stream.
func NewConn(uc *net.UnixConn, cfg *Config) (*Conn, error) {
	full, err := cfg.withDefaults()
	if err != nil {
		_ = uc.Close()
		return nil, err
	}
	if network := uc.LocalAddr().Network(); network != "unix" {
		_ = uc.Close()
		return nil, fmt.Errorf("shmwire: socket of network %q, want \"unix\"", network)
	}
	c, _, err := establish(context.Background(), uc, full, false, nil)
	return c, err
}

// Pair returns both ends of a new connection in this process.
func Pair(cfg *Config) (a, b *Conn, err error) {
	ua, ub, err := sys.Socketpair()
	if err != nil {
		return nil, nil, err
	}
	type made struct {
		c   *Conn
		err error
	}
	other := make(chan made)
	go func() {
		c, err := NewConn(ub, cfg)
		other <- made{c, err}
	}()
	a, err = NewConn(ua, cfg)
	m := <-other
	if err == nil {
		err = m.err
	}
	if err != nil {
		for _, c := range []*Conn{a, m.c} {
			if c != nil {
				_ = c.Close()
			}
		}
		return nil, nil, err
	}
	return a, m.c, nil
}

// Socketpair returns the two ends of a new Unix socketpair: one for this process's [NewConn], the other, a file, to
// be inherited by a child process, which makes its connection with [Inherit]. The caller closes the file once the
// child has it.
func Socketpair() (uc *net.UnixConn, child *os.File, err error) {
	uc, other, err := sys.Socketpair()
	if err != nil {
		return nil, nil, err
	}
	child, err = other.File()
	_ = other.Close()
	if err != nil {
		_ = uc.Close()
		return nil, nil, err
	}
	return uc, child, nil
}

// Inherit makes a connection over the Unix socket that this process inherited as descriptor fd; see [NewConn]. It
// takes the descriptor over.
func Inherit(fd uintptr, cfg *Config) (*Conn, error) {
	f := os.NewFile(fd, "inherited socket")
	if f == nil {
		return nil, fmt.Errorf("shmwire: descriptor %d is not valid", fd)
	}
	defer f.Close() // FileConn works on a duplicate
	conn, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("use descriptor %d as a socket: %w", fd, err)
	}
	uc, ok := conn.(*net.UnixConn)
	if !ok {
		_ = conn.Close()
		return nil, fmt.Errorf("shmwire: descriptor %d is a socket of network %q, want \"unix\"", fd, conn.LocalAddr().Network())
	}
	return NewConn(uc, cfg)
}
