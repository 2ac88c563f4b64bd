package main

import (
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"sync"
	"sync/atomic"
	"time"
)

// A balancer hands each request to one of its backends in turn. It is a plain [httputil.ReverseProxy]; what balances is
// its RoundTripper.
//
// It learns that a backend is dead in one way: a dial or a round trip fails. Then the backend goes to the end of the
// line, and the request goes to the next one if that is safe: always for GET and HEAD, else only if the application
// cannot have seen the request's body (see [balancer.RoundTrip]). What is not safe is answered 502.
type balancer struct {
	proxy    *httputil.ReverseProxy
	backends []*backend
	turn     atomic.Uint64
	retries  atomic.Int64 // requests handed to one more backend
	log      *log.Logger
}

func newBalancer(tr transport, servers []*child, logger *log.Logger) *balancer {
	b := &balancer{log: logger}
	for _, s := range servers {
		b.backends = append(b.backends, newBackend(tr, s.name, s.addr))
	}
	b.proxy = &httputil.ReverseProxy{
		Rewrite:      rewrite,
		Transport:    b,
		ErrorHandler: b.refuse,
		ErrorLog:     logger,
		BufferPool:   newBufferPool(),
	}
	return b
}

// rewrite makes the request for the backend; which one it will be decides RoundTrip.
func rewrite(r *httputil.ProxyRequest) {
	r.SetXForwarded()
	r.Out.URL.Scheme = "http"
	r.Out.URL.Host = "backend"
	if r.Out.Body != nil {
		// The backend confirms that it is there before it gets a body, which could not be sent twice.
		r.Out.Header.Set("Expect", "100-continue")
	}
}

// RoundTrip implements [http.RoundTripper].
//
// A request that fails is sent to the next backend unless its body is on the way: a backend gets the body only after it
// has said "100 Continue", so one that was dead before can never cost a request.
func (b *balancer) RoundTrip(req *http.Request) (*http.Response, error) {
	var failed error
	for i, be := range b.line() {
		if i > 0 {
			b.retries.Add(1)
		}
		body := &onceBody{src: req.Body}
		resp, err := be.roundTrip(attempt(req, body))
		if err == nil {
			be.down.Store(false)
			resp.Header.Set(backendHeader, be.name)
			return resp, nil
		}
		failed = &backendError{backend: be.name, err: err}
		if req.Context().Err() != nil || body.broken.Load() {
			break // the client is gone: no news about the backend
		}
		if !be.down.Swap(true) {
			b.log.Printf("%s is down: %s %s: %v", be.name, req.Method, req.URL.Path, err)
		}
		if !retriable(req, body, err) {
			break
		}
	}
	return nil, failed
}

// line returns the backends in the order to try them: those that are up, in turn, then as a last resort the others.
func (b *balancer) line() []*backend {
	n := len(b.backends)
	first := int(b.turn.Add(1) % uint64(n))
	line := make([]*backend, 0, n)
	var down []*backend
	for i := range n {
		be := b.backends[(first+i)%n]
		if be.down.Load() {
			down = append(down, be)
		} else {
			line = append(line, be)
		}
	}
	return append(line, down...)
}

// retriable reports whether another backend may get req after a failed round trip. It takes the body away from that
// round trip, which may still be running down.
func retriable(req *http.Request, body *onceBody, err error) bool {
	if req.Body != nil {
		return body.revoke()
	}
	if req.Method == http.MethodGet || req.Method == http.MethodHead {
		return true
	}
	var unreached *dialError
	return errors.As(err, &unreached)
}

// refuse answers 502 and says whose fault it is.
func (b *balancer) refuse(w http.ResponseWriter, r *http.Request, err error) {
	b.log.Printf("502: %s %s: %v", r.Method, r.URL.Path, err)
	var failed *backendError
	if errors.As(err, &failed) {
		w.Header().Set(backendHeader, failed.backend)
	}
	if r.Body != nil {
		// A client in the middle of sending looks for the answer only afterwards. If it stops sending, its connection is
		// not worth saving, so errors do not matter here.
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(time.Second))
		_, _ = io.CopyN(io.Discard, r.Body, maxBody)
	}
	http.Error(w, err.Error(), http.StatusBadGateway)
}

func (b *balancer) close() {
	for _, be := range b.backends {
		be.http.CloseIdleConnections()
	}
}

// bufferPool implements [httputil.BufferPool].
type bufferPool struct{ pool sync.Pool }

func newBufferPool() *bufferPool {
	return &bufferPool{sync.Pool{New: func() any { return new([32 << 10]byte) }}}
}

func (p *bufferPool) Get() []byte  { return p.pool.Get().(*[32 << 10]byte)[:] }
func (p *bufferPool) Put(b []byte) { p.pool.Put((*[32 << 10]byte)(b)) }
