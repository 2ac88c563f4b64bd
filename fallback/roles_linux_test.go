package fallback_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/shmwire/shmwire/fallback"
	"github.com/shmwire/shmwire/internal/shmtest"
	"github.com/shmwire/shmwire/internal/sys"
)

func roles() map[string]shmtest.Role {
	return map[string]shmtest.Role{
		"shake":    shakeAs,
		"starving": shakeStarving,
		"send":     sendAndStay,
		"stop":     stopAndStay,
		"listen":   listenWhenTold,
		"dial":     dialAs,
		"lock":     lockAndStay,
	}
}

// inherited returns the socket that is descriptor 3.
func inherited() (*net.UnixConn, error) {
	f := os.NewFile(3, "inherited")
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return nil, err
	}
	return c.(*net.UnixConn), nil
}

// failed says why a role cannot play.
func failed(err error) int {
	fmt.Println("error:", err)
	return 1
}

// shakeAs shakes hands over descriptor 3 as the user args[1] (empty: as it is), answering if args[0] says so, and
// prints that it is ready and then what came of it. It stays until its parent has seen enough.
func shakeAs(args []string) int {
	if args[1] != "" {
		uid, err := strconv.Atoi(args[1])
		if err != nil {
			return failed(err)
		}
		if err := shmtest.Become(uid); err != nil {
			return failed(err)
		}
	}
	s, err := newStore(2)
	if err != nil {
		return failed(err)
	}
	uc, err := inherited()
	if err != nil {
		return failed(err)
	}
	p := params(s)
	p.Answer = args[0] == "answer"
	fmt.Println("ready")
	r, err := fallback.Handshake(uc, p)
	if err != nil {
		return failed(err)
	}
	fmt.Printf("%+v shared=%t %s/%s trusted=%t %d descriptors\n",
		r.Peer, r.Shared, r.Agreed.OwnWake, r.Agreed.PeerWake, r.Agreed.Trusted, len(s.took))
	bufio.NewScanner(os.Stdin).Scan()
	return 0
}

// shakeStarving shakes hands with no descriptor free, prints the result and how many descriptors it holds more than
// before. It has some free again when its parent says so.
func shakeStarving(args []string) int {
	s, err := newStore(2)
	if err != nil {
		return failed(err)
	}
	uc, err := inherited()
	if err != nil {
		return failed(err)
	}
	timeout, err := time.ParseDuration(args[0])
	if err != nil {
		return failed(err)
	}
	limit := syscall.Rlimit{Cur: 60, Max: 60}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return failed(err)
	}
	before := countFDs()
	eaten, err := eatFDs()
	if err != nil {
		return failed(err)
	}
	fmt.Println("starving")
	fed := make(chan struct{})
	go func() {
		bufio.NewScanner(os.Stdin).Scan()
		closeAll(eaten)
		close(fed)
	}()
	p := params(s)
	p.Answer, p.Timeout = true, timeout
	r, err := fallback.Handshake(uc, p)
	if err != nil {
		return failed(err)
	}
	fmt.Printf("shared=%t %s\n", r.Shared, r.Reason)
	<-fed
	fmt.Println("more:", countFDs()-before)
	return 0
}

func countFDs() int {
	fds, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		return -1
	}
	return len(fds)
}

// eatFDs opens files until there is no descriptor left.
func eatFDs() ([]*os.File, error) {
	var eaten []*os.File
	for {
		f, err := os.Open(os.DevNull)
		if errors.Is(err, syscall.EMFILE) {
			return eaten, nil
		}
		if err != nil {
			closeAll(eaten)
			return nil, err
		}
		eaten = append(eaten, f)
	}
}

func closeAll(files []*os.File) {
	for _, f := range files {
		_ = f.Close()
	}
}

// sendAndStay sends args[0] messages of args[1] bytes over the link on descriptor 3 and stays until it is killed.
func sendAndStay(args []string) int {
	count, err1 := strconv.Atoi(args[0])
	size, err2 := strconv.Atoi(args[1])
	uc, err3 := inherited()
	if err := errors.Join(err1, err2, err3); err != nil {
		return failed(err)
	}
	l := fallback.NewLink(uc, fallback.LinkConfig{MaxMessage: size})
	for k := range count {
		if err := l.Send(context.Background(), pattern(k, size)); err != nil {
			return failed(err)
		}
	}
	fmt.Println("sent")
	select {}
}

// stopAndStay sends args[0] messages of args[1] bytes over the link on descriptor 3, is stopped inside a large one, sends
// as many messages again when its parent says so, and stays until it is killed.
func stopAndStay(args []string) int {
	count, err1 := strconv.Atoi(args[0])
	size, err2 := strconv.Atoi(args[1])
	uc, err3 := inherited()
	if err := errors.Join(err1, err2, err3); err != nil {
		return failed(err)
	}
	var until time.Time
	l := fallback.NewLink(uc, fallback.LinkConfig{MaxMessage: large, SendDeadline: func() time.Time { return until }})
	send := func(from int) (err error) {
		for k := from; k < from+count && err == nil; k++ {
			err = l.Send(context.Background(), pattern(k, size))
		}
		return err
	}
	if err := send(0); err != nil {
		return failed(err)
	}
	until = time.Now().Add(200 * time.Millisecond)
	fmt.Println("stopped:", l.Send(context.Background(), make([]byte, large)))
	until = time.Time{}
	bufio.NewScanner(os.Stdin).Scan()
	if err := send(count); err != nil {
		return failed(err)
	}
	fmt.Println("sent")
	select {}
}

// listenWhenTold reads moments (Unix time in nanoseconds), tries to listen at args[0] at each of them and prints what
// came of it.
func listenWhenTold(args []string) int {
	fmt.Println("ready")
	in := bufio.NewScanner(os.Stdin)
	var listening []*fallback.Rendezvous
	for in.Scan() {
		at, err := strconv.ParseInt(in.Text(), 10, 64)
		if err != nil {
			return failed(err)
		}
		<-time.After(time.Until(time.Unix(0, at)))
		r, err := fallback.Listen(args[0])
		switch {
		case err == nil:
			listening = append(listening, r)
			fmt.Println("listening")
		case errors.Is(err, syscall.EADDRINUSE):
			fmt.Println("in use")
		default:
			fmt.Println("error:", err)
		}
	}
	return len(listening)
}

// lockAndStay takes the lock of directory args[0] and stays until it is killed.
func lockAndStay(args []string) int {
	if _, err := sys.LockDir(args[0], 0); err != nil {
		return failed(err)
	}
	fmt.Println("locked")
	select {}
}

// dialAs tries to connect to args[0] as the user args[1].
func dialAs(args []string) int {
	uid, err := strconv.Atoi(args[1])
	if err != nil {
		return failed(err)
	}
	if err := shmtest.Become(uid); err != nil {
		return failed(err)
	}
	c, err := net.Dial("unix", args[0])
	if err == nil {
		_ = c.Close()
		fmt.Println("connected")
		return 0
	}
	if errors.Is(err, os.ErrPermission) {
		fmt.Println("permission denied")
		return 0
	}
	return failed(err)
}
