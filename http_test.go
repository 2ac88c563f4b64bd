package shmwire_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shmwire/shmwire"
	"github.com/shmwire/shmwire/internal/shmtest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestHTTPOverConn: keep-alive, a handler that is told of the client's end, hijacking and HTTP/2 without TLS.
func TestHTTPOverConn(t *testing.T) {
	shmtest.Watchdog(t, time.Minute)
	for _, k := range kinds {
		for _, h2 := range []bool{false, true} {
			t.Run(fmt.Sprint(k.name, " h2 ", h2), func(t *testing.T) {
				ln, path := mustListen(t, &k.cfg)
				ended := make(chan struct{}, 8)
				mux := http.NewServeMux()
				mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
					b, _ := io.ReadAll(r.Body)
					_, _ = w.Write(b)
				})
				mux.HandleFunc("/wait", func(w http.ResponseWriter, r *http.Request) {
					w.(http.Flusher).Flush()
					<-r.Context().Done()
					ended <- struct{}{}
				})
				mux.HandleFunc("/hijack", func(w http.ResponseWriter, r *http.Request) {
					c, rw, err := w.(http.Hijacker).Hijack()
					if err != nil {
						t.Error(err)
						return
					}
					defer c.Close()
					if _, ok := c.(*shmwire.Conn); !ok {
						t.Errorf("hijacked a %T", c)
					}
					_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
					line, err := rw.ReadString('\n')
					if err != nil {
						t.Error(err)
					}
					_, _ = io.WriteString(c, "got "+line)
				})
				srv := &http.Server{Handler: mux, Protocols: new(http.Protocols), ReadHeaderTimeout: time.Second, IdleTimeout: time.Second}
				srv.Protocols.SetHTTP1(true)
				srv.Protocols.SetUnencryptedHTTP2(true)
				served := inBackground(func() (int, error) { return 0, srv.Serve(ln) })
				dials := 0
				var mu sync.Mutex
				tr := &http.Transport{
					DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
						mu.Lock()
						dials++
						mu.Unlock()
						return shmwire.Dial(ctx, path, &k.cfg)
					},
					Protocols: new(http.Protocols),
				}
				tr.Protocols.SetHTTP1(!h2)
				tr.Protocols.SetUnencryptedHTTP2(h2)
				client := &http.Client{Transport: tr}
				for i := range 30 {
					body := strings.Repeat("abcdefgh", i*i*20)
					res, err := client.Post("http://x/echo", "text/plain", strings.NewReader(body))
					require.NoError(t, err)
					got, err := io.ReadAll(res.Body)
					require.NoError(t, err)
					res.Body.Close()
					require.True(t, body == string(got), "%d and %d bytes", len(body), len(got))
				}
				mu.Lock()
				assert.Equal(t, 1, dials, "one connection is kept alive")
				mu.Unlock()
				ctx, cancel := context.WithCancel(bg)
				req, _ := http.NewRequestWithContext(ctx, "GET", "http://x/wait", nil)
				res, err := client.Do(req)
				require.NoError(t, err)
				cancel()
				shmtest.Soon(t, ended, "the handler hears that the client is gone")
				res.Body.Close()
				if !h2 {
					req, _ := http.NewRequest("GET", "http://x/hijack", nil)
					req.Header.Set("Connection", "Upgrade")
					req.Header.Set("Upgrade", "x")
					res, err := client.Do(req)
					require.NoError(t, err)
					require.Equal(t, 101, res.StatusCode)
					rw := res.Body.(io.ReadWriteCloser)
					_, _ = io.WriteString(rw, "hello\n")
					all, err := io.ReadAll(rw)
					require.NoError(t, err)
					assert.Equal(t, "got hello\n", string(all))
					rw.Close()
				}
				tr.CloseIdleConnections()
				require.NoError(t, srv.Shutdown(bg))
				assert.ErrorIs(t, shmtest.Soon(t, served, "Serve").err, http.ErrServerClosed)
			})
		}
	}
}
