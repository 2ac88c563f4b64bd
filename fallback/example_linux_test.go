package fallback_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"

	"github.com/shmwire/shmwire/fallback"
)

// meet returns both ends of a connection made over a rendezvous in a temporary directory.
func meet() (server, client *net.UnixConn, err error) {
	dir, err := os.MkdirTemp("", "meet")
	if err != nil {
		return nil, nil, err
	}
	defer os.RemoveAll(dir)
	r, err := fallback.Listen(filepath.Join(dir, "socket"))
	if err != nil {
		return nil, nil, err
	}
	defer r.Close()
	conn, err := net.Dial("unix", r.Addr().String())
	if err != nil {
		return nil, nil, err
	}
	server, err = r.Accept()
	return server, conn.(*net.UnixConn), err
}

func ExampleListen() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "socket")

	r, err := fallback.Listen(path)
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = fallback.Listen(path)
	fmt.Println("a second listener is refused:", err != nil)

	client, err := net.Dial("unix", path)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	server, err := r.Accept()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close()
	fmt.Println("connected over", r.Addr().Network())

	fmt.Println("closed:", r.Close())
	_, err = os.Stat(path)
	fmt.Println("file removed:", errors.Is(err, os.ErrNotExist))
	// Output:
	// a second listener is refused: true
	// connected over unix
	// closed: <nil>
	// file removed: true
}

// Two processes agree, one of which does not share memory.
func ExampleHandshake() {
	server, client, err := meet()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close()
	defer client.Close()

	hello := fallback.Hello{Wake: fallback.WakeSocket, Slots: 1024, SlotBytes: 64, MaxRingBytes: 1 << 20}
	done := make(chan struct{})
	go func() {
		defer close(done)
		r, err := fallback.Handshake(server, fallback.Params{Answer: true, Hello: hello})
		fmt.Println("server:", r.Shared, r.Reason, err)
	}()
	sharing := hello
	sharing.SharesMemory = true
	r, err := fallback.Handshake(client, fallback.Params{
		Hello: sharing,
		Make: func(fallback.Agreement) (fallback.Offer, error) {
			return fallback.Offer{}, errors.New("not asked for: the server does not share")
		},
		Take: func(fallback.Agreement, fallback.Offer) error { return nil },
	})
	<-done
	fmt.Println("client:", r.Shared, r.Reason, err)
	fmt.Println("peer is this process:", r.Peer.PID == os.Getpid())
	// Output:
	// server: false shared memory is switched off <nil>
	// client: false peer: shared memory is switched off <nil>
	// peer is this process: true
}

func ExampleControl() {
	server, client, err := meet()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close()
	ringer, err := fallback.NewControl(client)
	if err != nil {
		fmt.Println(err)
		return
	}
	waiter, err := fallback.NewControl(server)
	if err != nil {
		fmt.Println(err)
		return
	}

	for range 3 { // they coalesce
		ringer.Ring()
	}
	ringer.SendEnd()
	client.Close()
	err = waiter.Serve(
		func() { fmt.Println("look at the ring") },
		func() { fmt.Println("look at the closed words") },
	)
	fmt.Println("gone:", err)
	// Output:
	// look at the closed words
	// look at the ring
	// gone: <nil>
}

func ExampleNewLink() {
	server, client, err := meet()
	if err != nil {
		fmt.Println(err)
		return
	}
	cfg := fallback.LinkConfig{MaxMessage: 1 << 16}
	a, b := fallback.NewLink(client, cfg), fallback.NewLink(server, cfg)
	defer b.Close()

	ctx := context.Background()
	if err := a.Send(ctx, []byte("one")); err != nil {
		fmt.Println(err)
		return
	}
	if n, err := a.SendBatch(ctx, [][]byte{[]byte("two"), nil}); err != nil {
		fmt.Println(n, err)
		return
	}
	if err := a.Close(); err != nil {
		fmt.Println(err)
		return
	}
	for {
		msg, err := b.Next(ctx)
		if errors.Is(err, io.EOF) {
			fmt.Println("end")
			break
		}
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%q\n", msg)
		b.Release()
	}
	fmt.Println("send to a closed link:", errors.Is(b.Send(ctx, []byte("three")), io.ErrClosedPipe))
	// Output:
	// "one"
	// "two"
	// ""
	// end
	// send to a closed link: true
}
