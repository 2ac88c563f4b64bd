package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// serverRole as first argument makes the program an application server.
const serverRole = "app-server"

// corruptEnv names an environment variable by which a test makes each server flip one byte of one answer, to see that
// this is noticed: "page" or "echo".
const corruptEnv = "SHMWIRE_LOADBALANCER_CORRUPT"

// maxBody bounds what one request or answer may make a process hold.
const maxBody = 4 << 20

// runServer is an application server. It serves until its standard input ends: that is a pipe from the balancer, which
// the kernel closes whatever the balancer dies of.
func runServer(args []string, lifeline io.Reader, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet(serverRole, flag.ContinueOnError)
	flags.SetOutput(stderr)
	transportName := flags.String("transport", "", "`name` of the transport to serve on")
	addr := flags.String("addr", "", "`address` to listen at")
	if err := flags.Parse(args); err != nil {
		return exitUsage
	}
	tr, err := transportNamed(*transportName)
	if err != nil {
		fmt.Fprintf(stderr, "%s: -transport: %v\n", serverRole, err)
		return exitUsage
	}
	// Ctrl-C goes to every process at the terminal; the balancer decides when this one ends.
	signal.Ignore(os.Interrupt)
	if err := serveApplication(tr, *addr, lifeline, stdout, stderr); err != nil {
		fmt.Fprintf(stderr, "%s at %s: %v\n", serverRole, *addr, err)
		return exitWrong
	}
	return exitOK
}

// serveApplication listens, announces the address on stdout and serves until the lifeline ends.
func serveApplication(tr transport, addr string, lifeline io.Reader, stdout, stderr io.Writer) error {
	l, err := tr.listen(addr)
	if err != nil {
		return err
	}
	srv := &http.Server{
		Handler:           newApplication(os.Getenv(corruptEnv)),
		ErrorLog:          log.New(stderr, serverRole+": ", 0),
		ReadHeaderTimeout: time.Minute,
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	announce(stdout, l.Addr())

	select {
	case err := <-served:
		return fmt.Errorf("serve: %w", err)
	case err := <-endOf(lifeline):
		return errors.Join(err, shutdown(srv))
	}
}

// endOf returns a channel that receives once r has ended, nil for an orderly end.
func endOf(r io.Reader) <-chan error {
	ended := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, r)
		ended <- err
	}()
	return ended
}

// shutdown lets running requests finish, but not for long.
func shutdown(srv *http.Server) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	err := srv.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		return srv.Close()
	}
	return err
}

// announce tells the parent that the server takes connections at a; [readAnnouncement] understands it.
func announce(stdout io.Writer, a net.Addr) {
	fmt.Fprintf(stdout, "%s%s\n", announcement, a)
}

const announcement = "ready "

// An application is the handler of one server.
type application struct {
	mux     http.ServeMux
	pages   [][]byte
	bodies  sync.Pool // of *bytes.Buffer
	corrupt string
	spoiled atomic.Bool
}

func newApplication(corrupt string) *application {
	a := &application{pages: makePages(), corrupt: corrupt}
	a.bodies.New = func() any { return new(bytes.Buffer) }
	a.mux.HandleFunc("GET /page/{number}", a.page)
	a.mux.HandleFunc("POST /echo", a.echo)
	return a
}

func (a *application) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.mux.ServeHTTP(w, r) }

func (a *application) page(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.Atoi(r.PathValue("number"))
	if err != nil || n < 0 || n >= len(a.pages) {
		http.Error(w, fmt.Sprintf("pages go from 0 to %d", len(a.pages)-1), http.StatusNotFound)
		return
	}
	a.answer(w, "page", a.pages[n])
}

func (a *application) echo(w http.ResponseWriter, r *http.Request) {
	body := a.bodies.Get().(*bytes.Buffer)
	defer a.bodies.Put(body)
	body.Reset()
	_, err := body.ReadFrom(http.MaxBytesReader(w, r.Body, maxBody))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
		return
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	a.answer(w, "echo", body.Bytes())
}

func (a *application) answer(w http.ResponseWriter, kind string, body []byte) {
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set(checksumHeader, checksum(body))
	// A failed write means that the balancer hung up: nobody is left to be told.
	_, _ = w.Write(a.spoil(kind, body))
}

// spoil returns body, once with a flipped bit if a test wants it so.
func (a *application) spoil(kind string, body []byte) []byte {
	if kind != a.corrupt || len(body) == 0 || a.spoiled.Swap(true) {
		return body
	}
	bad := bytes.Clone(body)
	bad[len(bad)/2] ^= 1
	return bad
}
