package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"unicode"

	"github.com/shmwire/shmwire/ring"
)

// nothing stands in a table for what is not known.
const nothing = "-"

func newTable(out io.Writer) *tabwriter.Writer { return tabwriter.NewWriter(out, 0, 0, 2, ' ', 0) }

// row writes cells, none of which can break the table or the terminal: names may come from anybody.
func row(w io.Writer, cells ...any) {
	texts := make([]string, len(cells))
	for i, c := range cells {
		texts[i] = printable(fmt.Sprint(c))
	}
	// A tabwriter over a buffer has nothing to fail at.
	_, _ = io.WriteString(w, strings.Join(texts, "\t")+"\n")
}

// printable shows what is no ordinary character as Go would write it.
func printable(s string) string {
	var b strings.Builder
	for _, r := range s {
		if unicode.IsPrint(r) {
			b.WriteRune(r)
		} else {
			b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
		}
	}
	return b.String()
}

// bytesText shows a size as people say it if that is exact.
func bytesText(n int64) string {
	unit, name := int64(1), "B"
	for _, next := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if n%(unit*1024) != 0 || n == 0 {
			break
		}
		unit, name = unit*1024, next
	}
	return strconv.FormatInt(n/unit, 10) + name
}

func fillText(r *ringView) string {
	percent := r.fill()
	if percent > 0 && percent < 1 {
		return "<1%"
	}
	return strconv.Itoa(int(percent)) + "%" // rounded down: 100% is full
}

func (p process) String() string {
	switch {
	case p.pid == 0:
		return nothing
	case p.life == unknown:
		return strconv.Itoa(p.pid) + " ?"
	}
	return strconv.Itoa(p.pid) + " " + string(p.life)
}

// sleepingText names the sides that sleep. A count above 1 is shown, and so is that of the dead: they died asleep.
func sleepingText(s *ring.Snapshot) string {
	var who []string
	for _, side := range []struct {
		name string
		*ring.Side
	}{{"producer", s.Producer}, {"consumer", s.Consumer}} {
		switch {
		case side.Side == nil || side.Sleeping == 0:
		case side.Sleeping == 1:
			who = append(who, side.name)
		default:
			who = append(who, fmt.Sprintf("%d %ss", side.Sleeping, side.name))
		}
	}
	if len(who) == 0 {
		return nothing
	}
	return strings.Join(who, "+")
}

// capacityText is the size of a ring's slots.
func capacityText(g ring.Geometry) string { return bytesText(int64(g.Slots) * int64(g.SlotBytes)) }
