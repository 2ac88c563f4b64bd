package main

import (
	"bytes"
	"fmt"
	"math"

	"github.com/shmwire/shmwire/ring"
	"github.com/shmwire/shmwire/shmseg"
)

// ownerView is an owner number of a ring with many producers, and the process that has it or had it last.
type ownerView struct {
	ring.Owner
	process
}

// owner is who has an owner number by the ring's account; see lifeAt. What cannot be a process number is nobody we know.
func (h host) owner(hd *shmseg.Header, o ring.Owner) process {
	if o.PID == 0 || o.PID > math.MaxInt32 {
		return process{life: unknown}
	}
	p := process{pid: int(o.PID), start: o.StartTime}
	p.life = h.lifeAt(hd, p)
	return p
}

// findOwners looks for the processes of a ring with many producers.
func (r *ringView) findOwners(h host) {
	if r.snapshot == nil || r.in == nil {
		return
	}
	for _, o := range r.snapshot.Owners {
		r.owners = append(r.owners, ownerView{o, h.owner(r.in.header, o)})
	}
}

// owner returns the process of an owner number.
func (r *ringView) owner(number int) process {
	for _, o := range r.owners {
		if o.Number == number {
			return o.process
		}
	}
	return process{life: unknown}
}

// waitsForDead reports whether the consumer cannot go on, or soon will not be able to, because somebody has died inside
// a claim.
func (r *ringView) waitsForDead() bool {
	for _, u := range r.snapshot.Unfinished {
		if r.owner(u.Owner).life == dead {
			return true
		}
	}
	return false
}

// ownerDetails prints a line for each owner and each claim that is not finished.
func (s *survey) ownerDetails(out *bytes.Buffer, r *ringView) {
	if len(r.owners) > 0 {
		fmt.Fprintln(out, "  owners, as last shared:")
		w := newTable(out)
		row(w, "  OWNER", "PROCESS", "STARTED", "LEFT", "RECORDS", "BYTES", "WAITS")
		for _, o := range r.owners {
			row(w, fmt.Sprintf("  %d", o.Number), o.process, s.startedText(o.process), yesNo(o.Closed),
				o.Stats.Records, o.Stats.Bytes, o.Stats.Waits)
		}
		_ = w.Flush() // into a buffer
	}
	w := newTable(out)
	for _, u := range r.snapshot.Unfinished {
		row(w, "  unfinished", fmt.Sprintf("%d slots at %d", u.Slots, u.Position), "waits for "+ownerText(u.Owner, r.owner(u.Owner)))
	}
	_ = w.Flush() // into a buffer
}

// ownerText names an owner in a sentence.
func ownerText(number int, p process) string {
	if p.pid == 0 {
		return fmt.Sprintf("owner %d", number)
	}
	return fmt.Sprintf("owner %d, pid %d (%s)", number, p.pid, p.life)
}

type ownerDocument struct {
	Number     int              `json:"number"`
	Generation uint64           `json:"generation"`
	Left       bool             `json:"left"`
	Process    processDocument  `json:"process"`
	Counters   countersDocument `json:"counters"`
}

type unfinishedDocument struct {
	Owner     int             `json:"owner"`
	Process   processDocument `json:"process"`
	Position  uint64          `json:"position"`
	Slots     int             `json:"slots"`
	Described bool            `json:"described"`
}

// ownersDocument fills in what there is to say of a ring with many producers.
func (s *survey) ownersDocument(d *ringDocument, r *ringView) {
	for _, o := range r.owners {
		c := counters(o.Stats)
		c.HighWaterSlots = ptr(o.Stats.HighWater)
		d.Owners = append(d.Owners, ownerDocument{
			Number: o.Number, Generation: o.Generation, Left: o.Closed, Process: s.processDocument(o.process), Counters: *c,
		})
	}
	for _, u := range r.snapshot.Unfinished {
		d.Unfinished = append(d.Unfinished, unfinishedDocument{
			Owner: u.Owner, Process: s.processDocument(r.owner(u.Owner)),
			Position: u.Position, Slots: u.Slots, Described: u.Described,
		})
	}
	if c := d.Consumer.Counters; c != nil {
		c.Recovered = ptr(r.snapshot.Consumer.Stats.Recovered)
	}
}

// ringKind says how many producers a ring is made for.
func ringKind(g ring.Geometry) string {
	if g.MPSC {
		return "mpsc"
	}
	return "spsc"
}
