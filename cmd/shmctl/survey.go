package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/shmwire/shmwire/shmseg"
)

// survey is what there is to see at the moment.
type survey struct {
	host    host
	rings   []*ringView // named ones first
	refused int         // processes that we may not look into
	notes   []string    // what people should know of what is left out
}

// The regions of a segment that holds a ring's side or sides.
const (
	regionProducer = 0
	regionConsumer = 1
)

// look finds all segments, ties those of one connection together, and looks at their rings.
func look(ctx context.Context, dir string) (*survey, error) {
	found, err := shmseg.Find(ctx)
	if err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return nil, err
	}
	s := &survey{host: thisHost(), refused: found.Refused}
	if err != nil {
		s.note("%v", err)
	}
	named, err := namedSegments(ctx, s.host, dir, found)
	if err != nil {
		return nil, err
	}
	unnamed, err := memfds(ctx, s.host, found)
	if err != nil {
		return nil, err
	}
	for _, seg := range named {
		if !seg.gone() {
			s.add("named", seg.name, seg, seg)
		}
	}
	s.addMemfds(unnamed)
	for _, r := range s.rings {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		r.inspect()
		r.findOwners(s.host)
		r.judge(s.refused == 0)
	}
	if s.refused > 0 {
		s.note("processes that could not be looked into: %d; their connections are not shown (root sees all)", s.refused)
	}
	return s, nil
}

func (s *survey) note(format string, args ...any) {
	s.notes = append(s.notes, fmt.Sprintf(format, args...))
}

// add adds the ring whose producer region lies in one segment and whose consumer region in the other; nil stands for a
// segment that we do not have.
func (s *survey) add(kind, name string, producer, consumer *segment) *ringView {
	r := &ringView{
		kind: kind, name: name, in: producer, out: consumer,
		producer: process{life: unknown}, consumer: process{life: unknown},
	}
	if producer != nil {
		r.producer = producer.owner
	}
	if consumer != nil {
		r.consumer = consumer.owner
	}
	s.rings = append(s.rings, r)
	return r
}

// addMemfds ties together what has the same link. What we may not read belongs to a row of somebody who maps it; what
// vanished meanwhile belongs to nobody.
func (s *survey) addMemfds(all []*segment) {
	linked := map[[16]byte][]*segment{}
	hidden := 0
	for _, seg := range all {
		switch {
		case seg.header != nil:
			linked[seg.header.Link] = append(linked[seg.header.Link], seg)
		case seg.refused():
			hidden++
		}
	}
	for _, seg := range all {
		switch {
		case seg.header != nil:
			s.addLinked(seg, linked)
		case !seg.refused() && !seg.gone():
			s.add("memfd", seg.name, seg, seg)
		}
	}
	if hidden > 0 {
		s.note("segments that are not readable: %d; their makers have left, and only root may read what they left behind", hidden)
	}
}

// addLinked adds the rings of the connection of seg, once for all its segments.
func (s *survey) addLinked(seg *segment, linked map[[16]byte][]*segment) {
	link := seg.header.Link
	if link == [16]byte{} {
		// Its one writer writes the producer's side of a ring and the consumer's of another, as far as anybody can tell.
		s.addPair("memfd", fmt.Sprintf("%s-%d", seg.name, seg.ino), seg, nil)
		return
	}
	same := linked[link]
	delete(linked, link)
	name := hex.EncodeToString(link[:6])
	switch len(same) {
	case 0: // added with another segment
	case 1:
		s.addPair("connection", name, same[0], nil)
	case 2:
		s.addPair("connection", name, same[0], same[1])
	default:
		// A link is no proof of anything: whoever knows it can write it into a segment of his own.
		for i, one := range same {
			for _, r := range s.addPair("connection", fmt.Sprintf("%s.%d", name, i), one, nil) {
				r.note("%d segments claim to belong to this connection", len(same))
			}
		}
	}
}

// addPair adds the ring out of a and into b, and the ring back.
func (s *survey) addPair(kind, name string, a, b *segment) []*ringView {
	return []*ringView{s.add(kind, name+"/0", a, b), s.add(kind, name+"/1", b, a)}
}
