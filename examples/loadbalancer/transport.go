package main

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
)

// A transport carries the hop between the balancer and its application servers.
type transport struct {
	name string

	// addr returns the address for the named server to listen at; dir is a directory for sockets.
	addr func(dir, server string) string

	// listen is for the server. dial is for the balancer; it gets what the listener's Addr says.
	listen func(addr string) (net.Listener, error)
	dial   func(ctx context.Context, addr string) (net.Conn, error)

	// used tells what carries a dialled connection, and why if that is not what one would expect.
	used func(c net.Conn) (kind, reason string)

	// want is what used must tell on this system; "" = anything.
	want string
}

// transports returns the transports in the order of the table.
func transports() []transport {
	return []transport{shmwireTransport(), unixTransport(), tcpTransport()}
}

// transportNamed is for the child processes, which know a transport by its name.
func transportNamed(name string) (transport, error) {
	for _, tr := range transports() {
		if tr.name == name {
			return tr, nil
		}
	}
	return transport{}, fmt.Errorf("no transport is called %q", name)
}

func unixTransport() transport {
	return netTransport("unix", socketFile)
}

func tcpTransport() transport {
	return netTransport("tcp", func(_, _ string) string { return "127.0.0.1:0" })
}

// netTransport is a transport of the standard library.
func netTransport(network string, addr func(dir, server string) string) transport {
	return transport{
		name:   network,
		addr:   addr,
		listen: func(addr string) (net.Listener, error) { return net.Listen(network, addr) },
		dial: func(ctx context.Context, addr string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, network, addr)
		},
		used: func(net.Conn) (string, string) { return network, "" },
		want: network,
	}
}

func socketFile(dir, server string) string {
	return filepath.Join(dir, server+".sock")
}
