package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shmwire/shmwire/internal/shmtest"
)

// goodServer is the application itself, in this process. Closing what it returns is its death.
func goodServer(t *testing.T, addr string) io.Closer {
	t.Helper()
	return serveHandler(t, addr, newApplication(""))
}

func serveHandler(t *testing.T, addr string, h http.Handler) io.Closer {
	t.Helper()
	l, err := net.Listen("unix", addr)
	require.NoError(t, err)
	srv := &http.Server{Handler: h, ErrorLog: log.New(io.Discard, "", 0)}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	t.Cleanup(func() {
		assert.NoError(t, srv.Close())
		assert.ErrorIs(t, <-served, http.ErrServerClosed)
	})
	return srv
}

// dyingServer takes connections, one at a time, and hangs up where act returns.
func dyingServer(t *testing.T, addr string, act func(c net.Conn, in *bufio.Reader)) {
	t.Helper()
	l, err := net.Listen("unix", addr)
	require.NoError(t, err)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			act(c, bufio.NewReader(c))
			_ = c.Close() // closed for good or for bad, it is over
		}
	})
	t.Cleanup(func() {
		assert.NoError(t, l.Close())
		wg.Wait()
	})
}

// readHeader reads a request up to the empty line.
func readHeader(in *bufio.Reader) {
	for line := "x"; strings.TrimSpace(line) != ""; {
		var err error
		if line, err = in.ReadString('\n'); err != nil {
			return
		}
	}
}

// A bench is a balancer with two backends, of which app-1 is asked first, on an HTTP server.
type bench struct {
	*balancer
	addr [2]string // where the servers app-1 and app-2 are to listen
	url  string
	web  *http.Client
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{addr: [2]string{shmtest.SocketPath(t), shmtest.SocketPath(t)}}
	servers := []*child{{name: "app-1", addr: b.addr[0]}, {name: "app-2", addr: b.addr[1]}}
	b.balancer = newBalancer(unixTransport(), servers, log.New(io.Discard, "", 0))
	b.firstNext()
	srv := httptest.NewServer(b.proxy)
	b.url = srv.URL
	web := &http.Transport{DisableCompression: true}
	b.web = &http.Client{Transport: web, Timeout: requestTimeout}
	t.Cleanup(func() {
		web.CloseIdleConnections()
		srv.Close()
		b.balancer.close()
	})
	return b
}

// firstNext makes app-1 the backend whose turn it is.
func (b *bench) firstNext() { b.turn.Store(uint64(len(b.backends)) - 1) }

func (b *bench) get(t *testing.T, n int) (status int, backend string, body []byte) {
	t.Helper()
	resp, err := b.web.Get(b.url + pagePath(n))
	require.NoError(t, err)
	return readAnswer(t, resp)
}

func (b *bench) post(t *testing.T, payload []byte) (status int, backend string, body []byte) {
	t.Helper()
	resp, err := b.web.Post(b.url+"/echo", "application/octet-stream", bytes.NewReader(payload))
	require.NoError(t, err)
	return readAnswer(t, resp)
}

func readAnswer(t *testing.T, resp *http.Response) (status int, backend string, body []byte) {
	t.Helper()
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, resp.Header.Get(backendHeader), body
}

func TestBalancerTakesTurns(t *testing.T) {
	b := newBench(t)
	goodServer(t, b.addr[0])
	goodServer(t, b.addr[1])
	pages := makePages()
	for i, want := range []string{"app-1", "app-2", "app-1", "app-2"} {
		status, backend, body := b.get(t, i)
		assert.Equal(t, http.StatusOK, status)
		assert.Equal(t, want, backend)
		assert.Equal(t, pages[i], body)
	}
	assert.Zero(t, b.retries.Load())
	assert.Equal(t, hop{used: "unix"}, b.hop())
}

func TestBalancerRetriesGET(t *testing.T) {
	tests := []struct {
		name string
		act  func(c net.Conn, in *bufio.Reader) // nil: nobody listens
	}{
		{"nobody listens", nil},
		{"dies before the request", func(net.Conn, *bufio.Reader) {}},
		{"dies before the answer", func(_ net.Conn, in *bufio.Reader) { readHeader(in) }},
		{"dies in the header", func(c net.Conn, in *bufio.Reader) {
			readHeader(in)
			fmt.Fprint(c, "HTTP/1.1 200 OK\r\nContent-Le")
		}},
		{"dies in the body", func(c net.Conn, in *bufio.Reader) {
			readHeader(in)
			fmt.Fprint(c, "HTTP/1.1 200 OK\r\nContent-Length: 512\r\n\r\nhalf a p")
		}},
		{"dies in a chunk", func(c net.Conn, in *bufio.Reader) {
			readHeader(in)
			fmt.Fprint(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n200\r\nhalf a p")
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			if tt.act != nil {
				dyingServer(t, b.addr[0], tt.act)
			}
			goodServer(t, b.addr[1])
			for range 3 { // the first asks app-1; then it is known to be down
				status, backend, body := b.get(t, 0)
				assert.Equal(t, http.StatusOK, status)
				assert.Equal(t, "app-2", backend)
				assert.Equal(t, makePages()[0], body)
				assert.EqualValues(t, 1, b.retries.Load())
			}
		})
	}
}

func TestBalancerRetriesPOSTOnlyIfTheBodyStayed(t *testing.T) {
	goOn := func(c net.Conn, in *bufio.Reader) {
		readHeader(in)
		fmt.Fprint(c, "HTTP/1.1 100 Continue\r\n\r\n")
	}
	tests := []struct {
		name    string
		act     func(c net.Conn, in *bufio.Reader) // nil: nobody listens
		retried bool
	}{
		{"nobody listens", nil, true},
		{"dies before the request", func(net.Conn, *bufio.Reader) {}, true},
		{"dies before it wants the body", func(_ net.Conn, in *bufio.Reader) { readHeader(in) }, true},
		{"dies in the request's body", func(c net.Conn, in *bufio.Reader) {
			goOn(c, in)
			_, _ = io.CopyN(io.Discard, in, 1000)
		}, false},
		{"dies before the answer", func(c net.Conn, in *bufio.Reader) {
			goOn(c, in)
			_, _ = io.CopyN(io.Discard, in, echoBytes)
		}, false},
		{"dies in the answer", func(c net.Conn, in *bufio.Reader) {
			goOn(c, in)
			_, _ = io.CopyN(io.Discard, in, echoBytes)
			fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\nhalf an e", echoBytes)
		}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			if tt.act != nil {
				dyingServer(t, b.addr[0], tt.act)
			}
			goodServer(t, b.addr[1])
			payload := noise(1, echoBytes)
			status, backend, body := b.post(t, payload)
			if tt.retried {
				assert.Equal(t, http.StatusOK, status)
				assert.Equal(t, "app-2", backend)
				assert.NoError(t, difference(body, payload))
				assert.EqualValues(t, 1, b.retries.Load())
				return
			}
			assert.Equal(t, http.StatusBadGateway, status)
			assert.Equal(t, "app-1", backend)
			assert.Contains(t, string(body), "app-1: ")
			assert.Zero(t, b.retries.Load())

			status, backend, _ = b.post(t, payload)
			assert.Equal(t, http.StatusOK, status, "app-1 is known to be down")
			assert.Equal(t, "app-2", backend)
		})
	}
}

// TestBalancerSurvivesAnIdleConnection sends a POST on a connection whose server died while it was idle.
func TestBalancerSurvivesAnIdleConnection(t *testing.T) {
	b := newBench(t)
	victim := goodServer(t, b.addr[0])
	goodServer(t, b.addr[1])
	payload := noise(1, echoBytes)
	status, backend, _ := b.post(t, payload)
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, "app-1", backend)

	require.NoError(t, victim.Close())
	b.firstNext()
	status, backend, body := b.post(t, payload)
	assert.Equal(t, http.StatusOK, status)
	assert.Equal(t, "app-2", backend)
	assert.NoError(t, difference(body, payload))
}

func TestBalancerTriesAgainWhenAllAreDown(t *testing.T) {
	b := newBench(t)
	status, _, body := b.get(t, 0)
	assert.Equal(t, http.StatusBadGateway, status)
	assert.Contains(t, string(body), "connect")

	goodServer(t, b.addr[1])
	for range 2 {
		status, backend, _ := b.get(t, 0)
		assert.Equal(t, http.StatusOK, status)
		assert.Equal(t, "app-2", backend)
	}
	assert.False(t, b.backends[1].down.Load())
	assert.True(t, b.backends[0].down.Load())
}

func TestBalancerBlamesNoBackendForTheClient(t *testing.T) {
	tests := []struct {
		name, request string
	}{
		{"hangs up in the body", "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nonly this"},
		{"sends a broken chunk", "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nthis\r\nis no chunk\r\n"},
		{"does not wait", "GET /page/0 HTTP/1.1\r\nHost: x\r\n\r\n"},
	}
	patient := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			<-r.Context().Done()
		}
		newApplication("").ServeHTTP(w, r)
	})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			serveHandler(t, b.addr[0], patient)
			serveHandler(t, b.addr[1], patient)
			handled := make(chan struct{}, 1)
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				defer func() { handled <- struct{}{} }()
				b.proxy.ServeHTTP(w, r)
			}))
			defer srv.Close()

			c, err := net.Dial("tcp", srv.Listener.Addr().String())
			require.NoError(t, err)
			_, err = io.WriteString(c, tt.request)
			require.NoError(t, err)
			require.NoError(t, c.(*net.TCPConn).CloseWrite())
			defer c.Close()
			shmtest.Soon(t, handled, "the balancer gives the request up")
			assert.False(t, b.backends[0].down.Load(), "app-1")
			assert.False(t, b.backends[1].down.Load(), "app-2")
		})
	}
}

// TestBalancerKeeps100ContinueToItself reads what goes over the wire to a client.
func TestBalancerKeeps100ContinueToItself(t *testing.T) {
	tests := []struct{ name, header, want string }{
		{"did not ask", "", "HTTP/1.1 200 OK\r\n"},
		{"asked", "Expect: 100-continue\r\n", "HTTP/1.1 100 Continue\r\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			goodServer(t, b.addr[0])
			c, err := net.Dial("tcp", strings.TrimPrefix(b.url, "http://"))
			require.NoError(t, err)
			defer c.Close()
			require.NoError(t, c.SetDeadline(time.Now().Add(requestTimeout)))
			_, err = fmt.Fprintf(c, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n%s\r\nhello", tt.header)
			require.NoError(t, err)
			line, err := bufio.NewReader(c).ReadString('\n')
			require.NoError(t, err)
			assert.Equal(t, tt.want, line)
		})
	}
}

// TestBalancerHoldsNoMoreThanMaxBody passes an answer through that is larger.
func TestBalancerHoldsNoMoreThanMaxBody(t *testing.T) {
	for _, size := range []int{maxBody - 1, maxBody, maxBody + 1, 2*maxBody + 7} {
		t.Run(strconv.Itoa(size), func(t *testing.T) {
			b := newBench(t)
			answer := noise(uint64(size), size)
			serveHandler(t, b.addr[0], http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				_, _ = w.Write(answer) // the test reads what arrives
			}))
			status, _, body := b.get(t, 0)
			assert.Equal(t, http.StatusOK, status)
			assert.NoError(t, difference(body, answer))
		})
	}
}

func TestApplicationRefuses(t *testing.T) {
	tests := []struct {
		name, method, path string
		size               int
		want               int
	}{
		{"page too high", "GET", pagePath(pageCount), 0, http.StatusNotFound},
		{"page negative", "GET", "/page/-1", 0, http.StatusNotFound},
		{"page no number", "GET", "/page/one", 0, http.StatusNotFound},
		{"other path", "GET", "/", 0, http.StatusNotFound},
		{"other method", "DELETE", "/page/1", 0, http.StatusMethodNotAllowed},
		{"body too large", "POST", "/echo", maxBody + 1, http.StatusRequestEntityTooLarge},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := httptest.NewRecorder()
			newApplication("").ServeHTTP(w, httptest.NewRequest(tt.method, tt.path, bytes.NewReader(make([]byte, tt.size))))
			assert.Equal(t, tt.want, w.Code)
		})
	}
}
