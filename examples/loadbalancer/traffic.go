package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"
)

// postEvery says which requests of a client are POSTs.
const postEvery = 20

// requestTimeout is the watchdog of one request: nothing here takes so long.
const requestTimeout = 10 * time.Second

// A load is traffic from clients that each send one request after the other.
type load struct {
	url      string
	clients  int
	duration time.Duration
}

// A tally is what clients saw.
type tally struct {
	latencies []time.Duration      // of the answers that were right
	latest    map[string]time.Time // by server: the latest start of a request that it answered right
	failures  []failure
}

// A failure is a request without the right answer.
type failure struct {
	method, path string
	backend      string // who answered, or failed to; "" = unknown
	status       int    // 0 = no answer
	start, end   time.Time
	err          error
}

// drive runs the load, calls kill halfway, and returns when all requests are answered. It ends early when a client sees
// what no kill excuses, and with an error when ctx is done.
//
// One client of its own asks before and after all others, so that also on a machine that hardly comes round to them
// both servers have answered before the kill, and one after it.
func (l load) drive(ctx context.Context, kill func() (killing, error)) (tally, killing, error) {
	web := &http.Transport{MaxIdleConnsPerHost: l.clients, DisableCompression: true}
	defer web.CloseIdleConnections()
	pages := makePages()
	clients := make([]*client, l.clients)
	for i := range clients {
		clients[i] = newClient(uint64(i), l.url, web, pages)
	}
	usher := newClient(uint64(l.clients), l.url, web, pages)

	for range serverCount {
		if !usher.send() {
			return usher.tally, killing{}, nil
		}
	}
	k, err := l.crowd(ctx, clients, kill)
	usher.send()

	sum := tally{latest: make(map[string]time.Time)}
	for _, c := range append(clients, usher) {
		sum.add(c.tally)
	}
	return sum, k, err
}

// crowd lets all clients send at the same time: half of the duration, the kill, and the other half.
func (l load) crowd(ctx context.Context, clients []*client, kill func() (killing, error)) (k killing, err error) {
	running, halt := context.WithCancel(ctx)
	var wg sync.WaitGroup
	for _, c := range clients {
		wg.Go(func() {
			for running.Err() == nil {
				if !c.send() {
					halt()
				}
			}
		})
	}
	if pause(running, l.duration/2) {
		if k, err = kill(); err == nil {
			pause(running, l.duration/2)
		}
	}
	halt()
	wg.Wait()
	if ctx.Err() != nil {
		err = errors.Join(err, fmt.Errorf("end early: %w", context.Cause(ctx)))
	}
	return k, err
}

// pause waits for d and reports whether running is still so.
func pause(running context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return running.Err() == nil
	case <-running.Done():
		return false
	}
}

func (t *tally) add(o tally) {
	t.latencies = append(t.latencies, o.latencies...)
	t.failures = append(t.failures, o.failures...)
	for backend, start := range o.latest {
		if start.After(t.latest[backend]) {
			t.latest[backend] = start
		}
	}
}

// A client sends requests and checks every byte of the answers.
type client struct {
	url     string
	http    http.Client
	pages   [][]byte
	random  *rand.Rand
	sent    uint64
	payload []byte // of POSTs; its first 8 bytes are the client's count of requests, so that no two are the same
	answer  []byte // receives bodies; one byte longer than any should be

	tally
}

func newClient(id uint64, url string, web *http.Transport, pages [][]byte) *client {
	return &client{
		url:     url,
		http:    http.Client{Transport: web, Timeout: requestTimeout},
		pages:   pages,
		random:  rand.New(rand.NewPCG(id, 0)),
		sent:    id * postEvery / 3, // so that the clients do not all post at once
		payload: noise(pageCount+id, echoBytes),
		answer:  make([]byte, echoBytes+1),
		tally:   tally{latest: make(map[string]time.Time)},
	}
}

// send sends one request. It returns false after a failure that is no 502: nothing excuses that.
func (c *client) send() bool {
	c.sent++
	f := failure{method: http.MethodGet, start: time.Now()}
	var want, payload []byte
	if c.sent%postEvery == 0 {
		binary.LittleEndian.PutUint64(c.payload, c.sent)
		f.method, f.path, payload, want = http.MethodPost, "/echo", c.payload, c.payload
	} else {
		n := c.random.IntN(len(c.pages))
		f.path, want = pagePath(n), c.pages[n]
	}
	f.status, f.backend, f.err = c.ask(f.method, f.path, payload, want)
	f.end = time.Now()
	if f.err != nil {
		c.failures = append(c.failures, f)
		return f.status == http.StatusBadGateway
	}
	c.latencies = append(c.latencies, f.end.Sub(f.start))
	c.latest[f.backend] = f.start
	return true
}

// ask sends one request and returns an error unless the answer is 200 with the wanted body.
func (c *client) ask(method, path string, payload, want []byte) (status int, backend string, err error) {
	req, err := http.NewRequest(method, c.url+path, bytes.NewReader(payload))
	if err != nil {
		return 0, "", err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	backend = resp.Header.Get(backendHeader)
	if resp.StatusCode != http.StatusOK {
		text, err := io.ReadAll(io.LimitReader(resp.Body, 512))
		return resp.StatusCode, backend, errors.Join(errors.New(strings.TrimSpace(string(text))), err)
	}
	n, err := io.ReadFull(resp.Body, c.answer[:len(want)+1])
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return resp.StatusCode, backend, fmt.Errorf("read body: %w", err)
	}
	if err := difference(c.answer[:n], want); err != nil {
		return resp.StatusCode, backend, err
	}
	if got := resp.Header.Get(checksumHeader); got != checksum(want) {
		return resp.StatusCode, backend, fmt.Errorf("%s is %q, want %q", checksumHeader, got, checksum(want))
	}
	return resp.StatusCode, backend, nil
}
