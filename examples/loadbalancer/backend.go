package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A backend is one application server as the balancer knows it.
type backend struct {
	name string
	http *http.Transport
	down atomic.Bool

	mu   sync.Mutex
	used map[string]string // what carried the connections, and why
}

func newBackend(tr transport, name, addr string) *backend {
	be := &backend{name: name, used: make(map[string]string)}
	be.http = &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			c, err := tr.dial(ctx, addr)
			if err != nil {
				return nil, &dialError{err}
			}
			be.note(tr.used(c))
			return c, nil
		},
		DisableCompression:    true,
		MaxIdleConnsPerHost:   1024,
		ExpectContinueTimeout: 10 * time.Second,
	}
	return be
}

func (be *backend) note(kind, reason string) {
	be.mu.Lock()
	defer be.mu.Unlock()
	be.used[kind] = reason
}

// A hop is what carried a balancer's connections to its backends.
type hop struct {
	used string // kinds of transport, joined by "+"
	why  string // the reason for each, "" if there is nothing to say
}

func (b *balancer) hop() hop {
	all := make(map[string]string)
	for _, be := range b.backends {
		be.mu.Lock()
		maps.Copy(all, be.used)
		be.mu.Unlock()
	}
	kinds := slices.Sorted(maps.Keys(all))
	var why []string
	for _, kind := range kinds {
		if reason := all[kind]; reason != "" {
			why = append(why, kind+" "+reason)
		}
	}
	return hop{strings.Join(kinds, "+"), strings.Join(why, "; ")}
}

// roundTrip returns only whole answers: if the backend dies while it sends one, this is an error, and not a broken body
// that the client would get.
func (be *backend) roundTrip(req *http.Request) (*http.Response, error) {
	resp, err := be.http.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if err := hold(resp); err != nil {
		return nil, err
	}
	return resp, nil
}

// hold reads the body of resp into memory. Of one larger than maxBody it holds the beginning; the rest is streamed.
func hold(resp *http.Response) error {
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return nil
	}
	var body bytes.Buffer
	if n := resp.ContentLength; 0 <= n && n <= maxBody {
		body.Grow(int(n) + bytes.MinRead)
	}
	_, err := io.CopyN(&body, resp.Body, maxBody+1)
	if err == nil {
		resp.Body = struct {
			io.Reader
			io.Closer
		}{io.MultiReader(&body, resp.Body), resp.Body}
		return nil
	}
	if err != io.EOF {
		return errors.Join(err, resp.Body.Close())
	}
	err = resp.Body.Close()
	resp.Body = io.NopCloser(&body)
	return err
}

// dialError marks an error from before there was a connection: no byte of the request was sent.
type dialError struct{ err error }

func (e *dialError) Error() string { return e.err.Error() }
func (e *dialError) Unwrap() error { return e.err }

// backendError says which backend failed.
type backendError struct {
	backend string
	err     error
}

func (e *backendError) Error() string { return e.backend + ": " + e.err.Error() }
func (e *backendError) Unwrap() error { return e.err }
