package main

import (
	"bytes"

	"github.com/spf13/cobra"
)

func newLsCommand() *cobra.Command {
	o := &options{}
	cmd := &cobra.Command{
		Use:     "ls",
		Aliases: []string{"list"},
		Short:   "List the rings of connections and named segments",
		Long: "ls prints a line for each ring. A connection has two: NAME/0 and NAME/1, one each way. PRODUCER and CONSUMER are\n" +
			"process numbers; who uses which side of a named segment is not known.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return ls(cmd, o) },
	}
	o.addTo(cmd)
	return cmd
}

func ls(cmd *cobra.Command, o *options) error {
	if err := o.check(); err != nil {
		return err
	}
	s, err := lookAround(cmd, o)
	if err != nil {
		return err
	}
	talk(cmd, s)
	return o.print(cmd, func(out *bytes.Buffer) { s.table(out, !o.noHeader) }, s.document(s.rings))
}

func (s *survey) table(out *bytes.Buffer, titles bool) {
	w := newTable(out)
	if titles {
		row(w, "NAME", "KIND", "CAPACITY", "FILL", "RECORDS", "BYTES", "PRODUCER", "CONSUMER", "SLEEPING", "STATE")
	}
	for _, r := range s.rings {
		capacity, sleeping := nothing, nothing
		var fill, records, size any = nothing, nothing, nothing
		if g := r.snapshot; g != nil {
			capacity, sleeping = capacityText(g.Geometry), sleepingText(g)
		}
		if r.complete() {
			fill, records, size = fillText(r), r.snapshot.Records, r.snapshot.Bytes
		}
		row(w, r.name, r.kind, capacity, fill, records, size, r.producer, r.consumer, sleeping, r.state)
	}
	_ = w.Flush() // into a buffer
}
