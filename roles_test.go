package shmwire_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"github.com/shmwire/shmwire"
)

// say writes a line to the parent.
func say(args ...any) { fmt.Fprintln(os.Stdout, args...) }

// fail tells the parent why a role cannot go on.
func fail(err error) int {
	say("error:", err)
	return 1
}

// childMessage is message i of sendRole: its number, and bytes that follow from it.
func childMessage(i int) []byte {
	return append(strconv.AppendInt(nil, int64(i), 10), bytes.Repeat([]byte{'.'}, i%700)...)
}

// sendRole sends a number of messages over the inherited socket 3 and then ends in the way named: kind, fault, count,
// ending.
func sendRole(args []string) int {
	k := kindNamed(args[0])
	count, _ := strconv.Atoi(args[2])
	c, err := shmwire.Inherit(3, shmwire.WithFault(k.cfg, args[1]))
	if err != nil {
		return fail(err)
	}
	for i := range count {
		if err := c.Send(bg, childMessage(i)); err != nil {
			return fail(err)
		}
	}
	return end(c, args[3])
}

// end ends the process in the way named, without a farewell unless that is the way.
func end(c *shmwire.Conn, how string) int {
	switch how {
	case "close":
		if err := c.Close(); err != nil {
			return fail(err)
		}
	case "closewrite":
		if err := c.CloseWrite(); err != nil {
			return fail(err)
		}
		say("closed")
		_, err := c.Receive(bg, nil)
		say(errors.Is(err, io.EOF))
	case "kill":
		self, _ := os.FindProcess(os.Getpid())
		_ = self.Kill()
		select {}
	case "kill-in-claim":
		if _, err := c.Claim(bg, 10); err != nil {
			return fail(err)
		}
		return end(c, "kill")
	}
	return 0 // "exit": the process goes, the connection is not closed
}

// echoRole sends back what it receives over the inherited socket 3: kind, fault. It says which transport it has.
func echoRole(args []string) int {
	k := kindNamed(args[0])
	c, err := shmwire.Inherit(3, shmwire.WithFault(k.cfg, args[1]))
	if err != nil {
		return fail(err)
	}
	transport, reason := c.Transport()
	say(transport, reason)
	if err := echo(c); err != nil {
		return fail(err)
	}
	return 0
}

func echo(c *shmwire.Conn) error {
	defer c.Close()
	for msg, err := range c.Messages(bg) {
		if err != nil {
			return err
		}
		if err := c.Send(bg, msg); err != nil {
			return err
		}
	}
	return nil
}

// listenRole listens at a path and echoes on every connection until its input ends: path, kind.
func listenRole(args []string) int {
	k := kindNamed(args[1])
	ln, err := shmwire.Listen(args[0], &k.cfg)
	if err != nil {
		return fail(err)
	}
	go func() {
		for {
			c, err := ln.AcceptConn()
			if err != nil {
				return
			}
			go echo(c)
		}
	}()
	say("listening")
	bufio.NewScanner(os.Stdin).Scan()
	if err := ln.Close(); err != nil {
		return fail(err)
	}
	return 0
}

// attemptRole waits for a line, tries to listen at a path, says how that went, and waits for another line.
func attemptRole(args []string) int {
	in := bufio.NewScanner(os.Stdin)
	say("ready")
	in.Scan()
	ln, err := shmwire.Listen(args[0], nil)
	switch {
	case err == nil:
		say("won")
	case errors.Is(err, errAddrInUse):
		say("in use")
	default:
		say(err)
	}
	in.Scan()
	if err == nil {
		ln.Close()
	}
	return 0
}

// inheritRole makes a connection over the inherited socket 3, says who it sees and does nothing until it is killed.
func inheritRole([]string) int {
	c, err := shmwire.Inherit(3, nil)
	if err != nil {
		return fail(err)
	}
	say(c.Peer().PID == os.Getppid(), c.Peer().UID == os.Getuid())
	select {}
}
