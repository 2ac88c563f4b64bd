package main

import (
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// A front is the public side of the load balancer: one TCP port for the whole run, behind which one balancer after the
// other stands.
type front struct {
	listener net.Listener
	srv      http.Server
	balancer atomic.Pointer[balancer]
	served   chan error // receives what Serve returned
}

// openFront listens at addr, or at a free loopback port if it is empty, and serves.
func openFront(addr string, logger *log.Logger) (*front, error) {
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	f := &front{listener: l, served: make(chan error, 1)}
	f.srv.Handler = f
	f.srv.ErrorLog = logger
	f.srv.ReadHeaderTimeout = time.Minute
	go func() { f.served <- f.srv.Serve(l) }()
	return f, nil
}

func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b := f.balancer.Load()
	if b == nil {
		http.Error(w, "no servers at the moment", http.StatusServiceUnavailable)
		return
	}
	b.proxy.ServeHTTP(w, r)
}

// url returns what clients on this host put before a path.
func (f *front) url() string {
	addr := f.listener.Addr().(*net.TCPAddr)
	if !addr.IP.IsUnspecified() {
		return "http://" + addr.String()
	}
	return fmt.Sprintf("http://127.0.0.1:%d", addr.Port)
}

func (f *front) close() error {
	err := shutdown(&f.srv)
	if served := <-f.served; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, fmt.Errorf("serve at %s: %w", f.listener.Addr(), served))
	}
	return err
}
