// Command loadbalancer shows what shmwire is for: a load balancer and its application servers on one host talk HTTP over
// shared memory.
//
// It starts two application servers as child processes, puts an ordinary httputil.ReverseProxy in front of them on a
// TCP port, sends real requests through it, kills one server in the middle and goes on with the other. It does so three
// times with the same traffic: the hop from the balancer to the servers runs over shmwire, over plain Unix sockets and
// over TCP. Then it prints a table.
//
//	go run ./examples/loadbalancer
//	go run ./examples/loadbalancer -duration 2s -clients 32
//	go run ./examples/loadbalancer -listen 127.0.0.1:8080
//
// The lines that matter to a user of shmwire are in transport_shmwire.go: [github.com/shmwire/shmwire.Listen] where net.Listen
// stood, [github.com/shmwire/shmwire.Dial] in the DialContext of an http.Transport. Everything else is the standard
// library.
//
// The files: transport.go and transport_shmwire.go (the hop), server.go and content.go (the application), proxy.go,
// backend.go and attempt.go (the balancer), front.go (its public side), children.go (child processes), site.go (all of
// them together), traffic.go and judge.go (the clients, and what they let pass), table.go.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

// Exit statuses.
const (
	exitOK    = 0
	exitWrong = 1 // something went wrong that the kill does not excuse
	exitUsage = 2
)

// minDuration leaves time for traffic before and after the kill.
const minDuration = 100 * time.Millisecond

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run is the program: the balancer, or an application server where the balancer has executed itself as one.
func run(args []string, stdout, stderr io.Writer) int {
	if len(args) > 0 && args[0] == serverRole {
		return runServer(args[1:], os.Stdin, stdout, stderr)
	}
	opts, err := parseOptions(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return exitOK
	}
	if err != nil {
		return exitUsage
	}
	// SIGTERM is what service managers and containers send. A second signal ends the program at once: its children see
	// that and end too.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	err = balance(ctx, opts, stdout, &lockedWriter{w: stderr})
	if err != nil {
		fmt.Fprintln(stderr, "loadbalancer:", err)
		return exitWrong
	}
	return exitOK
}

type options struct {
	duration time.Duration
	clients  int
	listen   string // "" = any free port, and end after the table
	verbose  bool
}

// parseOptions says what is wrong itself; with an error the program ends.
func parseOptions(args []string, stderr io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("loadbalancer", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.DurationVar(&o.duration, "duration", 5*time.Second, "traffic `time` for each of the three transports, 100ms or more")
	flags.IntVar(&o.clients, "clients", 8, "`number` of clients that send requests at the same time, 1 or more")
	flags.StringVar(&o.listen, "listen", "", "put the balancer on this TCP `address` (host:port) and keep serving after the table until Ctrl-C")
	flags.BoolVar(&o.verbose, "v", false, "tell on standard error what happens: children, kills, retries")
	flags.Usage = func() {
		fmt.Fprintln(stderr, "Usage: loadbalancer [-duration time] [-clients number] [-listen host:port] [-v]")
		flags.PrintDefaults()
	}
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if err := o.check(flags.Args()); err != nil {
		fmt.Fprintln(stderr, "loadbalancer:", err)
		flags.Usage()
		return o, err
	}
	return o, nil
}

func (o options) check(rest []string) error {
	if len(rest) > 0 {
		return fmt.Errorf("unexpected argument %q", rest[0])
	}
	if o.duration < minDuration {
		return fmt.Errorf("-duration is %v, want %v or more", o.duration, minDuration)
	}
	if o.clients < 1 {
		return fmt.Errorf("-clients is %d, want 1 or more", o.clients)
	}
	if o.listen == "" {
		return nil
	}
	_, port, err := net.SplitHostPort(o.listen)
	if err != nil {
		return fmt.Errorf("-listen is %q, want host:port: %w", o.listen, err)
	}
	if _, err := net.LookupPort("tcp", port); err != nil {
		return fmt.Errorf("-listen is %q, want host:port: %w", o.listen, err)
	}
	return nil
}

// balance measures each transport, prints the table and, if asked to, keeps serving.
func balance(ctx context.Context, opts options, stdout, stderr io.Writer) (err error) {
	logger := log.New(io.Discard, "", log.Ltime|log.Lmicroseconds)
	if opts.verbose {
		logger.SetOutput(stderr)
	}
	front, err := openFront(opts.listen, logger)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, front.close()) }()

	lab := lab{front: front, log: logger, stderr: stderr}
	printIntro(stdout, opts)
	var rows []row
	for _, tr := range transports() {
		r, err := lab.measure(ctx, tr, opts)
		if err != nil {
			return fmt.Errorf("%s: %w", tr.name, err)
		}
		rows = append(rows, r)
	}
	if err := printTable(stdout, rows); err != nil {
		return fmt.Errorf("print table: %w", err)
	}
	if opts.listen == "" {
		return nil
	}
	return lab.serve(ctx, transports()[0], stdout)
}

// lockedWriter lets several children and the logger share one writer.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}
