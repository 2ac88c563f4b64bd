package main

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/shmwire/shmwire/ring"
	"github.com/shmwire/shmwire/shmseg"
	"github.com/spf13/cobra"
)

func newInfoCommand() *cobra.Command {
	o := &options{}
	cmd := &cobra.Command{
		Use:   "info NAME|PID",
		Short: "Show everything about a ring, a connection or a process",
		Long: "info shows the rings of the named segment NAME, of the connection or the one ring called NAME by ls (or whose name\n" +
			"begins so), or of the process PID, and the segments that they lie in. Of a ring with many producers it tells who they\n" +
			"are, and for whose unfinished claims the consumer waits.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return info(cmd, o, args[0]) },
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			return names(cmd, o, args), cobra.ShellCompDirectiveNoFileComp
		},
	}
	o.addTo(cmd)
	return cmd
}

func info(cmd *cobra.Command, o *options, what string) error {
	if err := o.check(); err != nil {
		return err
	}
	s, err := lookAround(cmd, o)
	if err != nil {
		return err
	}
	rings := s.called(what)
	talk(cmd, s)
	if len(rings) == 0 {
		return missing(notFound(what, o.dir))
	}
	d := s.document(rings)
	d.Asked = what
	for _, seg := range segmentsOf(rings) {
		d.Segments = append(d.Segments, s.segmentDocument(seg))
	}
	if err := o.print(cmd, func(out *bytes.Buffer) { s.details(out, rings, !o.noHeader) }, d); err != nil {
		return err
	}
	return verdict(rings)
}

// verdict makes what is wrong with the rings the exit status: that they are corrupt before that they cannot be read.
func verdict(rings []*ringView) (err error) {
	for _, r := range rings {
		switch {
		case r.state == stateCorrupt:
			return &failure{statusCorrupt, fmt.Errorf("%s is corrupt: %s", printable(r.name), printable(r.notes[len(r.notes)-1]))}
		case r.state == stateUnreadable && r.snapshot == nil && err == nil:
			err = missing(fmt.Errorf("%s: %w", printable(r.name), r.err))
		}
	}
	return err
}

// called returns the rings that people mean by what: those of the named segment of exactly this name, those of the
// process with this number, or those whose names begin so.
func (s *survey) called(what string) []*ringView {
	pid, err := strconv.Atoi(what)
	for _, means := range []func(r *ringView) bool{
		func(r *ringView) bool { return r.kind == "named" && r.name == what },
		func(r *ringView) bool { return err == nil && pid > 0 && r.concerns(pid) },
		func(r *ringView) bool { return r.name == what },
		func(r *ringView) bool {
			return r.kind == "connection" && len(what) >= 2 && strings.HasPrefix(r.name, what)
		},
	} {
		var rings []*ringView
		for _, r := range s.rings {
			if means(r) {
				rings = append(rings, r)
			}
		}
		if len(rings) > 0 {
			return rings
		}
	}
	return nil
}

// concerns reports whether process pid has, or had, anything to do with the ring.
func (r *ringView) concerns(pid int) bool {
	if r.producer.pid == pid || r.consumer.pid == pid {
		return true
	}
	for _, o := range r.owners {
		if o.pid == pid {
			return true
		}
	}
	for _, s := range r.segments() {
		if s.creator.pid == pid {
			return true
		}
		for _, h := range s.holders {
			if h.PID == pid {
				return true
			}
		}
	}
	return false
}

// notFound says why there is nothing to show for what.
func notFound(what, dir string) error {
	if pid, err := strconv.Atoi(what); err == nil && pid > 0 {
		_, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
		switch {
		case errors.Is(err, fs.ErrPermission):
			return fmt.Errorf("look into process %d: %w", pid, fs.ErrPermission)
		case err == nil:
			return fmt.Errorf("process %d has no segments", pid)
		}
		return fmt.Errorf("no process %d, and no segment or connection %q in %s or /proc", pid, what, dir)
	}
	return fmt.Errorf("no segment or connection %q in %s or /proc", what, dir)
}

func segmentsOf(rings []*ringView) (all []*segment) {
	seen := map[*segment]bool{}
	for _, r := range rings {
		for _, s := range r.segments() {
			if !seen[s] {
				seen[s] = true
				all = append(all, s)
			}
		}
	}
	return all
}

// names completes the argument of info.
func names(cmd *cobra.Command, o *options, args []string) (all []string) {
	if len(args) > 0 {
		return nil
	}
	s, err := lookAround(cmd, o)
	if err != nil {
		return nil
	}
	for _, r := range s.rings {
		all = append(all, printable(r.name))
	}
	return all
}

// details prints rings and then the segments that they lie in.
func (s *survey) details(out *bytes.Buffer, rings []*ringView, titles bool) {
	for _, r := range rings {
		if titles {
			fmt.Fprintf(out, "RING %s\n", printable(r.name))
		}
		s.ringDetails(out, r)
		out.WriteByte('\n')
	}
	for i, seg := range segmentsOf(rings) {
		if i > 0 {
			out.WriteByte('\n')
		}
		if titles {
			fmt.Fprintf(out, "SEGMENT %s\n", printable(seg.name))
		}
		s.segmentDetails(out, seg)
	}
}

func (s *survey) ringDetails(out *bytes.Buffer, r *ringView) {
	w := newTable(out)
	kind := r.kind
	if r.snapshot != nil && r.snapshot.Geometry.MPSC {
		kind += ", mpsc"
	}
	row(w, "  kind", kind)
	row(w, "  state", r.state)
	for _, note := range r.notes {
		row(w, "  note", note)
	}
	if snap := r.snapshot; snap != nil {
		g := snap.Geometry
		row(w, "  capacity", fmt.Sprintf("%d slots of %d bytes = %s", g.Slots, g.SlotBytes, capacityText(g)))
		if r.complete() {
			row(w, "  waiting", fmt.Sprintf("%d records of %d bytes in %d slots (%s)", snap.Records, snap.Bytes, snap.Slots, fillText(r)))
		}
	}
	_ = w.Flush() // into a buffer
	w = newTable(out)
	row(w, "", "PRODUCER", "CONSUMER")
	row(w, "  process", r.producer, r.consumer)
	row(w, "  started", s.startedText(r.producer), s.startedText(r.consumer))
	if r.snapshot == nil {
		_ = w.Flush()
		return
	}
	sideDetails(w, r.snapshot.Producer, r.snapshot.Consumer)
	if c := r.snapshot.Consumer; c != nil && r.snapshot.Geometry.MPSC {
		row(w, "  recovered", nothing, fmt.Sprintf("%d claims of dead producers", c.Stats.Recovered))
	}
	_ = w.Flush()
	s.ownerDetails(out, r)
}

// sideDetails prints what both sides have, a line each.
func sideDetails(w io.Writer, p, c *ring.Side) {
	both := func(name string, value func(*ring.Side) any) {
		cells := []any{"  " + name, nothing, nothing}
		for i, side := range []*ring.Side{p, c} {
			if side != nil {
				cells[i+1] = value(side)
			}
		}
		row(w, cells...)
	}
	both("attached", func(s *ring.Side) any { return yesNo(s.Attached) })
	both("position", func(s *ring.Side) any { return s.Position })
	both("closed", func(s *ring.Side) any { return yesNo(s.Closed) })
	both("sleeping", func(s *ring.Side) any { return s.Sleeping })
	both("parks", func(s *ring.Side) any { return s.Parks })
	both("doorbell", func(s *ring.Side) any { return s.Doorbell })
	row(w, "  as last shared:", "", "")
	both("position", func(s *ring.Side) any { return s.Stats.Position })
	both("records", func(s *ring.Side) any { return s.Stats.Records })
	both("bytes", func(s *ring.Side) any { return s.Stats.Bytes })
	both("skips", func(s *ring.Side) any { return s.Stats.Skips })
	both("waits", func(s *ring.Side) any { return s.Stats.Waits })
	both("rings", func(s *ring.Side) any { return s.Stats.Rings })
	if p != nil {
		row(w, "  high water", fmt.Sprintf("%d slots", p.Stats.HighWater), nothing)
	}
}

func (s *survey) segmentDetails(out *bytes.Buffer, seg *segment) {
	w := newTable(out)
	row(w, "  kind", seg.kind)
	if seg.err != nil {
		row(w, "  error", seg.err)
	}
	row(w, "  size", bytesText(seg.size))
	if p := seg.preamble; p != nil {
		row(w, "  version", fmt.Sprintf("%d, header of %d bytes", p.Version, p.HeaderBytes))
	}
	if h := seg.header; h != nil {
		row(w, "  id", hex.EncodeToString(h.ID[:]))
		if h.Link != [16]byte{} {
			row(w, "  link", hex.EncodeToString(h.Link[:]))
		}
		row(w, "  generation", h.Generation)
		row(w, "  created", h.Created.Format(time.RFC3339))
		row(w, "  creator", fmt.Sprintf("%v, started %s, in PID namespace %d", seg.creator, s.startedText(seg.creator), h.PIDNamespace))
		row(w, "  boot", fmt.Sprintf("%x (%s)", h.BootID, map[bool]string{true: "this one", false: "another one"}[seg.ownBoot]))
		row(w, "  pages, lines", fmt.Sprintf("%d, %d bytes", h.PageBytes, h.LineBytes))
		for i, r := range h.Regions {
			row(w, fmt.Sprintf("  region %d", i), fmt.Sprintf("%d bytes at %d", r.Size, r.Offset))
		}
		if seg.kind == shmseg.Memfd {
			row(w, "  sealed", yesNo(seg.sealed))
		}
	}
	for _, h := range seg.holders {
		row(w, "  held by", fmt.Sprintf("%d (open %s, mapped %s, writable %s)", h.PID, yesNo(h.Open), yesNo(h.Mapped), yesNo(h.Writable)))
	}
	_ = w.Flush() // into a buffer
}

func (s *survey) startedText(p process) string {
	if t := s.host.started(p); t != nil {
		return t.Format(time.RFC3339)
	}
	return nothing
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
