package shmwire_test

import (
	"bufio"
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/rpc"
	"os"
	"path/filepath"
	"time"

	"github.com/shmwire/shmwire"
)

// The examples connect two ends in one process, so that they run by themselves. Between processes one end listens and
// the other dials.
func pair() (a, b *shmwire.Conn) {
	a, b, err := shmwire.Pair(nil)
	if err != nil {
		log.Fatal(err)
	}
	return a, b
}

// A server and a client that exchange messages.
func Example() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "greeter.sock")
	ctx := context.Background()

	ln, err := shmwire.Listen(path, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer ln.Close()
	go func() {
		conn, err := ln.AcceptConn()
		if err != nil {
			return
		}
		defer conn.Close()
		for msg, err := range conn.Messages(ctx) {
			if err != nil {
				return
			}
			if err := conn.Send(ctx, append([]byte("hello, "), msg...)); err != nil {
				return
			}
		}
	}()

	conn, err := shmwire.Dial(ctx, path, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	for _, name := range []string{"Ada", "Grace"} {
		if err := conn.Send(ctx, []byte(name)); err != nil {
			log.Fatal(err)
		}
		answer, err := conn.Receive(ctx, nil)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(string(answer))
	}
	// Output:
	// hello, Ada
	// hello, Grace
}

// Messages keep their boundaries, empty ones too.
func ExampleConn_messages() {
	a, b := pair()
	defer a.Close()
	defer b.Close()
	ctx := context.Background()

	n, err := a.SendBatch(ctx, [][]byte{[]byte("one"), nil, []byte("three")})
	fmt.Println(n, err)
	buf := make([]byte, 0, 64) // reused for every message
	for range n {
		if buf, err = b.Receive(ctx, buf); err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%q\n", buf)
	}
	// Output:
	// 3 <nil>
	// "one"
	// ""
	// "three"
}

// A Conn is a net.Conn, so whatever works on a stream works on it.
func ExampleConn_stream() {
	a, b := pair()
	defer b.Close()
	go func() {
		defer a.Close()
		fmt.Fprintln(a, "a line")
		fmt.Fprintln(a, "and another")
	}()
	lines := bufio.NewScanner(b)
	for lines.Scan() {
		fmt.Println(lines.Text())
	}
	// Output:
	// a line
	// and another
}

// Claim and Next work in place: no byte is copied by the library.
func ExampleConn_Claim() {
	a, b := pair()
	defer a.Close()
	defer b.Close()
	ctx := context.Background()

	claim, err := a.Claim(ctx, 5)
	if err != nil {
		log.Fatal(err)
	}
	copy(claim.Bytes(), "fresh")
	if err := claim.Commit(); err != nil {
		log.Fatal(err)
	}

	record, err := b.Next(ctx)
	if err != nil {
		log.Fatal(err)
	}
	defer record.Release()
	fmt.Println(string(record.Bytes()))
	// Output: fresh
}

// CloseWrite ends one direction: the other end gets io.EOF and can still answer.
func ExampleConn_CloseWrite() {
	a, b := pair()
	defer a.Close()
	defer b.Close()
	go func() {
		all, _ := io.ReadAll(b)
		fmt.Fprintf(b, "got %d bytes", len(all))
		b.CloseWrite()
	}()
	fmt.Fprint(a, "twelve bytes")
	a.CloseWrite()
	answer, _ := io.ReadAll(a)
	fmt.Println(string(answer))
	// Output: got 12 bytes
}

// Deadlines work as on every net.Conn, contexts on the calls that take one.
func ExampleConn_SetReadDeadline() {
	a, b := pair()
	defer a.Close()
	defer b.Close()
	a.SetReadDeadline(time.Now().Add(time.Millisecond))
	_, err := a.Read(make([]byte, 1))
	fmt.Println(errors.Is(err, os.ErrDeadlineExceeded))

	a.SetReadDeadline(time.Time{})
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	_, err = a.Receive(ctx, nil)
	fmt.Println(err)
	// Output:
	// true
	// context deadline exceeded
}

// Transport tells what carries a connection. SocketOnly stands for anything that keeps memory from being shared.
func ExampleConn_Transport() {
	a, b, err := shmwire.Pair(&shmwire.Config{SocketOnly: true})
	if err != nil {
		log.Fatal(err)
	}
	defer a.Close()
	defer b.Close()
	transport, reason := a.Transport()
	fmt.Printf("%v: %s\n", transport, reason)
	// Output: unix: shared memory is switched off
}

// Arith is a service for net/rpc.
type Arith struct{}

// Args are the factors.
type Args struct{ A, B int }

// Multiply multiplies.
func (Arith) Multiply(args Args, product *int) error {
	*product = args.A * args.B
	return nil
}

// net/rpc, with its gob encoding, over a Conn.
func ExampleConn_netRPC() {
	a, b := pair()
	server := rpc.NewServer()
	if err := server.Register(Arith{}); err != nil {
		log.Fatal(err)
	}
	go server.ServeConn(b)

	client := rpc.NewClient(a)
	defer client.Close()
	var product int
	if err := client.Call("Arith.Multiply", Args{6, 7}, &product); err != nil {
		log.Fatal(err)
	}
	fmt.Println(product)
	// Output: 42
}

// Go values over a Conn, one encoder and one decoder for its lifetime.
func ExampleConn_gob() {
	a, b := pair()
	defer b.Close()
	type quote struct {
		Symbol string
		Cents  int
	}
	go func() {
		defer a.Close()
		enc := gob.NewEncoder(a)
		for _, q := range []quote{{"ABC", 1250}, {"XYZ", 99}} {
			if enc.Encode(q) != nil {
				return
			}
		}
	}()
	dec := gob.NewDecoder(b)
	for {
		var q quote
		if err := dec.Decode(&q); err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(q.Symbol, q.Cents)
	}
	// Output:
	// ABC 1250
	// XYZ 99
	// EOF
}

// An HTTP server on a Listener, and a client that dials it whatever host the URL names.
func ExampleListener_http() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "http.sock")

	ln, err := shmwire.Listen(path, nil)
	if err != nil {
		log.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s", r.Method, r.URL.Path)
	})}
	go server.Serve(ln)
	defer server.Shutdown(context.Background())

	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return shmwire.Dial(ctx, path, nil)
	}}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	answer, err := client.Get("http://app/greeting")
	if err != nil {
		log.Fatal(err)
	}
	defer answer.Body.Close()
	body, _ := io.ReadAll(answer.Body)
	fmt.Println(answer.Status, string(body))
	// Output: 200 OK GET /greeting
}

// A parent gives one end of a socketpair to a child process, as an inherited descriptor.
func ExampleSocketpair() {
	uc, file, err := shmwire.Socketpair()
	if err != nil {
		log.Fatal(err)
	}
	// The parent of a real child sets cmd.ExtraFiles = []*os.File{file}, and the child calls shmwire.Inherit(3, nil).
	// Here a goroutine plays the child.
	go func() {
		inherited, err := net.FileConn(file)
		if err != nil {
			log.Fatal(err)
		}
		file.Close()
		child, err := shmwire.NewConn(inherited.(*net.UnixConn), nil)
		if err != nil {
			log.Fatal(err)
		}
		defer child.Close()
		fmt.Fprint(child, "born")
	}()

	conn, err := shmwire.NewConn(uc, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	word, _ := io.ReadAll(conn)
	fmt.Println(string(word))
	// Output: born
}

// Pair connects two goroutines, or stands in for two processes in a test.
func ExamplePair() {
	a, b, err := shmwire.Pair(&shmwire.Config{RingBytes: 1 << 20})
	if err != nil {
		log.Fatal(err)
	}
	defer a.Close()
	defer b.Close()
	fmt.Println(a.MaxMessage(), b.Peer().PID == os.Getpid())
	// Output: 524288 true
}

// Messages yields views, each valid until the next.
func ExampleConn_Messages() {
	a, b := pair()
	defer a.Close()
	defer b.Close()
	ctx := context.Background()
	if _, err := a.SendBatch(ctx, [][]byte{[]byte("up"), []byte("down")}); err != nil {
		log.Fatal(err)
	}
	a.CloseWrite()
	for msg, err := range b.Messages(ctx) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(string(msg))
	}
	fmt.Println(b.Stats().Received.Messages, "messages")
	// Output:
	// up
	// down
	// 2 messages
}

// A child process makes its end of a connection over the descriptor that it inherited; the parent calls Socketpair
// and NewConn.
func ExampleInherit() {
	conn, err := shmwire.Inherit(1<<20, nil) // 3 in a real child: the first of cmd.ExtraFiles
	if err != nil {
		fmt.Println("no parent")
		return
	}
	defer conn.Close()
	// Output: no parent
}
