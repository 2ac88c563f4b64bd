package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"math"
	"time"

	"github.com/shmwire/shmwire/ring"
	"github.com/shmwire/shmwire/shmseg"
)

// schema names the form of the JSON output. Fields may be added to it; nothing is renamed or removed.
const schema = "shmctl/v1"

// document is the JSON output of ls and, with segments, of info. A pointer that is nil is null: not known.
type document struct {
	Schema   string            `json:"schema"`
	Rings    []ringDocument    `json:"rings"`
	Segments []segmentDocument `json:"segments,omitempty"`
	Unlooked int               `json:"processes_not_looked_into"`
	Remarks  []string          `json:"remarks"`
	Asked    string            `json:"asked,omitempty"` // of info: for what
}

type ringDocument struct {
	Name           string       `json:"name"`
	Kind           string       `json:"kind"`
	RingKind       *string      `json:"ring_kind"` // spsc or mpsc
	State          state        `json:"state"`
	Notes          []string     `json:"notes"`
	CapacityBytes  *int         `json:"capacity_bytes"`
	CapacitySlots  *int         `json:"capacity_slots"`
	SlotBytes      *int         `json:"slot_bytes"`
	FillPercent    *float64     `json:"fill_percent"`
	UsedSlots      *uint64      `json:"used_slots"`
	RecordsWaiting *uint64      `json:"records_waiting"`
	BytesWaiting   *uint64      `json:"bytes_waiting"`
	Settled        *bool        `json:"settled"`
	Producer       sideDocument `json:"producer"` // with many, all of them together
	Consumer       sideDocument `json:"consumer"`

	Owners     []ownerDocument      `json:"owners"`            // of an MPSC ring
	Unfinished []unfinishedDocument `json:"unfinished_claims"` // of an MPSC ring; the consumer waits for the first
}

type sideDocument struct {
	Process  processDocument   `json:"process"`
	Attached *bool             `json:"attached"`
	Position *uint64           `json:"position"`
	Closed   *bool             `json:"closed"`
	Sleeping *uint32           `json:"sleeping"`
	Parks    *uint64           `json:"parks"`
	Doorbell *uint32           `json:"doorbell"`
	Counters *countersDocument `json:"counters"`
}

type processDocument struct {
	PID        *int    `json:"pid"`
	State      life    `json:"state"`
	StartTicks *uint64 `json:"start_ticks"`
	Started    *string `json:"started"`
}

// countersDocument is what a side last shared of its counters.
type countersDocument struct {
	Position       uint64  `json:"position"`
	Records        uint64  `json:"records"`
	Bytes          uint64  `json:"bytes"`
	Skips          uint64  `json:"skips"`
	Waits          uint64  `json:"waits"`
	Parks          uint64  `json:"parks"`
	Rings          uint64  `json:"rings"`
	HighWaterSlots *uint64 `json:"high_water_slots"`
	Recovered      *uint64 `json:"recovered"` // claims of the dead that the consumer of an MPSC ring has stepped over
}

type segmentDocument struct {
	Name         string           `json:"name"`
	Kind         string           `json:"kind"`
	Error        *string          `json:"error"`
	SizeBytes    int64            `json:"size_bytes"`
	Sealed       bool             `json:"sealed"`
	Version      *uint32          `json:"version"`
	HeaderBytes  *uint32          `json:"header_bytes"`
	ID           *string          `json:"id"`
	Link         *string          `json:"link"`
	Generation   *uint64          `json:"generation"`
	Created      *string          `json:"created"`
	Creator      processDocument  `json:"creator"`
	PIDNamespace *uint64          `json:"pid_namespace"`
	BootID       *string          `json:"boot_id"`
	ThisBoot     *bool            `json:"this_boot"`
	PageBytes    *uint32          `json:"page_bytes"`
	LineBytes    *uint32          `json:"line_bytes"`
	Regions      []regionDocument `json:"regions"`
	Holders      []holderDocument `json:"holders"`
}

type regionDocument struct {
	OffsetBytes uint64 `json:"offset_bytes"`
	SizeBytes   uint64 `json:"size_bytes"`
}

type holderDocument struct {
	PID      int  `json:"pid"`
	Open     bool `json:"open"`
	Mapped   bool `json:"mapped"`
	Writable bool `json:"writable"`
}

func writeJSON(out *bytes.Buffer, document any) error {
	enc := json.NewEncoder(out)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(document)
}

// document describes the given rings of the survey.
func (s *survey) document(rings []*ringView) document {
	d := document{Schema: schema, Rings: []ringDocument{}, Unlooked: s.refused, Remarks: orEmpty(s.notes)}
	for _, r := range rings {
		d.Rings = append(d.Rings, s.ringDocument(r))
	}
	return d
}

func (s *survey) ringDocument(r *ringView) ringDocument {
	d := ringDocument{
		Name: r.name, Kind: r.kind, State: r.state, Notes: orEmpty(r.notes),
		Producer: sideDocument{Process: s.processDocument(r.producer)},
		Consumer: sideDocument{Process: s.processDocument(r.consumer)},
		Owners:   []ownerDocument{}, Unfinished: []unfinishedDocument{},
	}
	snap := r.snapshot
	if snap == nil {
		return d
	}
	g := snap.Geometry
	d.RingKind = ptr(ringKind(g))
	d.CapacitySlots, d.SlotBytes, d.CapacityBytes = &g.Slots, &g.SlotBytes, ptr(g.Slots*g.SlotBytes)
	d.Settled = &snap.Settled
	if r.complete() {
		d.FillPercent = ptr(math.Round(r.fill()*100) / 100)
		d.UsedSlots, d.RecordsWaiting, d.BytesWaiting = &snap.Slots, &snap.Records, &snap.Bytes
	}
	d.Producer.fill(snap.Producer)
	d.Consumer.fill(snap.Consumer)
	if c := d.Producer.Counters; c != nil {
		c.HighWaterSlots = &snap.Producer.Stats.HighWater
	}
	if g.MPSC {
		s.ownersDocument(&d, r)
	}
	return d
}

func (d *sideDocument) fill(s *ring.Side) {
	if s == nil {
		return
	}
	d.Attached, d.Position, d.Closed = &s.Attached, &s.Position, &s.Closed
	d.Sleeping, d.Parks, d.Doorbell = &s.Sleeping, &s.Parks, &s.Doorbell
	d.Counters = counters(s.Stats)
}

func counters(s ring.Stats) *countersDocument {
	return &countersDocument{
		Position: s.Position, Records: s.Records, Bytes: s.Bytes, Skips: s.Skips,
		Waits: s.Waits, Parks: s.Parks, Rings: s.Rings,
	}
}

func (s *survey) processDocument(p process) processDocument {
	d := processDocument{State: p.life}
	if p.pid != 0 {
		d.PID = &p.pid
	}
	if p.start != 0 {
		d.StartTicks = &p.start
	}
	if t := s.host.started(p); t != nil {
		d.Started = ptr(t.Format(time.RFC3339))
	}
	return d
}

func (s *survey) segmentDocument(seg *segment) segmentDocument {
	d := segmentDocument{
		Name: seg.name, Kind: seg.kind.String(), SizeBytes: seg.size, Sealed: seg.sealed,
		Creator: s.processDocument(seg.creator),
		Regions: []regionDocument{}, Holders: []holderDocument{},
	}
	if seg.err != nil {
		d.Error = ptr(seg.err.Error())
	}
	if p := seg.preamble; p != nil {
		d.Version, d.HeaderBytes = &p.Version, &p.HeaderBytes
	}
	for _, h := range seg.holders {
		d.Holders = append(d.Holders, holderDocument(h))
	}
	if seg.header != nil {
		d.fill(seg.header, seg.ownBoot)
	}
	return d
}

func (d *segmentDocument) fill(h *shmseg.Header, ownBoot bool) {
	d.ID, d.Generation, d.Created = ptr(hex.EncodeToString(h.ID[:])), &h.Generation, ptr(h.Created.Format(time.RFC3339Nano))
	if h.Link != [16]byte{} {
		d.Link = ptr(hex.EncodeToString(h.Link[:]))
	}
	d.PIDNamespace, d.BootID, d.ThisBoot = &h.PIDNamespace, ptr(hex.EncodeToString(h.BootID[:])), &ownBoot
	d.PageBytes, d.LineBytes = &h.PageBytes, &h.LineBytes
	for _, r := range h.Regions {
		d.Regions = append(d.Regions, regionDocument{r.Offset, r.Size})
	}
}

func ptr[T any](v T) *T { return &v }

// orEmpty makes no list an empty one: [] and not null.
func orEmpty(list []string) []string { return append([]string{}, list...) }
