package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/shmwire/shmwire"
	"github.com/shmwire/shmwire/internal/shmtest"
)

func roles() map[string]shmtest.Role {
	all := map[string]shmtest.Role{"listen": listenRole, "dial": dialRole, "main": mainRole}
	for name, role := range systemRoles() {
		all[name] = role
	}
	return all
}

// tell writes a line to the parent.
func tell(args ...any) { fmt.Fprintln(os.Stdout, args...) }

func failed(err error) int {
	tell("error:", err)
	return 1
}

// connConfig makes rings of 64 slots of 64 bytes, and nobody spins.
func connConfig() *shmwire.Config {
	return &shmwire.Config{RingBytes: 4096, SlotBytes: 64, Wait: shmwire.WaitPoller}
}

// listenRole accepts one connection at a path: uid, path. With another uid than 0 it becomes that user first.
func listenRole(args []string) int {
	if err := become(args[0]); err != nil {
		return failed(err)
	}
	ln, err := shmwire.Listen(args[1], connConfig())
	if err != nil {
		return failed(err)
	}
	tell("listening")
	c, err := ln.AcceptConn()
	if err != nil {
		return failed(err)
	}
	return obey(c)
}

// dialRole is the other end: uid, path.
func dialRole(args []string) int {
	if err := become(args[0]); err != nil {
		return failed(err)
	}
	c, err := shmwire.Dial(context.Background(), args[1], connConfig())
	if err != nil {
		return failed(err)
	}
	return obey(c)
}

// obey says which transport the connection has and then does what the parent says, a line each, until it is killed.
func obey(c *shmwire.Conn) int {
	ctx := context.Background()
	transport, _ := c.Transport()
	tell(transport)
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		words := strings.Fields(in.Text() + " 0 0")
		count, _ := strconv.Atoi(words[1])
		size, _ := strconv.Atoi(words[2])
		var err error
		switch words[0] {
		case "send":
			for range count {
				if err == nil {
					err = c.Send(ctx, make([]byte, size))
				}
			}
		case "receive":
			for range count {
				if err == nil {
					_, err = c.Receive(ctx, nil)
				}
			}
		case "block": // send for ever
			go func() {
				for c.Send(ctx, make([]byte, size)) == nil {
				}
			}()
		case "listen": // receive for ever
			go func() {
				var err error
				for err == nil {
					_, err = c.Receive(ctx, nil)
				}
			}()
		case "closewrite":
			err = c.CloseWrite()
		case "close":
			err = c.Close()
		}
		if err != nil {
			return failed(err)
		}
		tell("done")
	}
	return 0
}

// mainRole is the program itself.
func mainRole([]string) int {
	main()
	return 0
}
