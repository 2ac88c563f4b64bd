package main

import (
	"errors"
	"io/fs"
	"time"

	"github.com/shmwire/shmwire/internal/sys"
	"github.com/shmwire/shmwire/shmseg"
)

// life is whether a process lives.
type life string

const (
	alive   life = "alive"
	dead    life = "dead"
	unknown life = "unknown"
)

// process is who has a side of a ring or made a segment. The zero process, with life unknown, is nobody we know.
type process struct {
	pid   int
	start uint64 // clock ticks since the machine started; 0 = unknown
	life  life
}

// host is where we are: what identities are compared with.
type host struct {
	self sys.Identity
	boot time.Time // when the machine started; zero = unknown
}

func thisHost() host {
	h := host{self: sys.Self()}
	h.boot, _ = sys.BootTime() // without it, start times are shown in ticks alone
	return h
}

// creator is who made the segment by its header's account.
func (h host) creator(hd *shmseg.Header) process {
	p := process{pid: hd.CreatorPID, start: hd.CreatorStart}
	p.life = h.lifeAt(hd, p)
	return p
}

// lifeAt tells whether p lives, whose number was written in the segment. A PID alone proves nothing, since it is used
// again: its process must have started when the segment says.
func (h host) lifeAt(hd *shmseg.Header, p process) life {
	known := func(id [16]byte) bool { return id != [16]byte{} }
	switch {
	case known(hd.BootID) && known(h.self.BootID) && hd.BootID != h.self.BootID:
		return dead // with the machine
	case hd.PIDNamespace != 0 && h.self.PIDNamespace != 0 && hd.PIDNamespace != h.self.PIDNamespace:
		return unknown // the number means another process here, or none
	}
	return lifeOf(p.pid, p.start)
}

// lifeOf tells whether the process pid that started at the given time (0 = whenever) lives.
func lifeOf(pid int, start uint64) life {
	p, err := sys.ReadProcess(pid)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return dead
	case err != nil:
		return unknown
	case p.Ended, start != 0 && p.Start != start:
		return dead
	}
	return alive
}

// holding is a process that was seen in /proc with the segment in its hands.
func holding(pid int) process {
	p, err := sys.ReadProcess(pid)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return process{pid: pid, life: dead}
	case err != nil:
		return process{pid: pid, life: unknown}
	case p.Ended:
		return process{pid: pid, start: p.Start, life: dead}
	}
	return process{pid: pid, start: p.Start, life: alive}
}

// started is when p started, nil if that is not known.
func (h host) started(p process) *time.Time {
	if p.start == 0 || h.boot.IsZero() {
		return nil
	}
	const tick = time.Second / sys.ClocksPerSecond
	if p.start > uint64(1<<62/tick) {
		return nil // no process is that old; a header may say anything
	}
	t := h.boot.Add(time.Duration(p.start) * tick)
	return &t
}
