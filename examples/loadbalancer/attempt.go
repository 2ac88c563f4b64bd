package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
)

// attempt returns req for one backend, with body in place of its own.
func attempt(req *http.Request, body *onceBody) *http.Request {
	a := req.WithContext(untraced{req.Context()})
	if a.Body != nil {
		a.Body = body
	}
	return a
}

// untraced hides the trace by which the ReverseProxy would forward the backend's "100 Continue": the client did not
// ask for one.
type untraced struct{ context.Context }

func (u untraced) Value(key any) any {
	v := u.Context.Value(key)
	if _, isTrace := v.(*httptrace.ClientTrace); isTrace {
		return nil
	}
	return v
}

// onceBody lends the body of a request to one round trip: until it reads, the body can be taken back.
type onceBody struct {
	src    io.Reader
	state  atomic.Int32
	broken atomic.Bool // src failed: the client stopped sending
}

const (
	bodyFresh   = iota // nobody has read
	bodyTaken          // the round trip reads
	bodyRevoked        // the round trip may not read any more
)

var errRevoked = errors.New("the request's body went to another backend")

func (b *onceBody) Read(p []byte) (int, error) {
	if !b.state.CompareAndSwap(bodyFresh, bodyTaken) && b.state.Load() == bodyRevoked {
		return 0, errRevoked
	}
	n, err := b.src.Read(p)
	if err != nil && err != io.EOF {
		b.broken.Store(true)
	}
	return n, err
}

// Close implements [io.Closer]. It leaves src open, for the next round trip or the server that owns it.
func (b *onceBody) Close() error { return nil }

// revoke reports whether nothing of the body has been read, and that it stays so.
func (b *onceBody) revoke() bool { return b.state.CompareAndSwap(bodyFresh, bodyRevoked) }
