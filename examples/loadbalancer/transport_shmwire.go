package main

import (
	"context"
	"net"
	"runtime"

	"github.com/shmwire/shmwire"
)

func shmwireTransport() transport {
	tr := transport{
		name: "shmwire",
		addr: socketFile,
		listen: func(addr string) (net.Listener, error) {
			l, err := shmwire.Listen(addr, nil)
			if err != nil {
				return nil, err
			}
			return l, nil
		},
		dial: func(ctx context.Context, addr string) (net.Conn, error) {
			c, err := shmwire.Dial(ctx, addr, nil)
			if err != nil {
				return nil, err
			}
			return c, nil
		},
		used: func(c net.Conn) (string, string) {
			kind, reason := c.(*shmwire.Conn).Transport()
			return kind.String(), reason
		},
	}
	if runtime.GOOS == "linux" {
		tr.want = shmwire.SharedMemory.String()
	}
	return tr
}
