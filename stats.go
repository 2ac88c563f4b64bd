package shmwire

// Counters tell what one side of a connection has done.
type Counters struct {
	Messages uint64 // sent or received
	Bytes    uint64 // their payload
	Waits    uint64 // calls that found no room or no message at once (shared memory only, as all below)
	Parks    uint64 // sleeps announced
	Rings    uint64 // times that the other end was woken
	Skips    uint64 // times that the end of the ring was left empty because a message did not fit there
}

// Stats tell what a connection has done so far.
type Stats struct {
	Sent, Received Counters // the two sides
	HighWater      uint64   // most slots of the sending ring in use at once, as this side noticed
	Throttled      uint64   // waits that were put off because the other end rang without sending anything
}

// Stats returns the connection's counters. Those of a side on which a call is at work are as of its last wait or lap.
// It may be called at any time; after Close it returns zeros.
func (c *Conn) Stats() Stats {
	var s Stats
	if c.life.enter() != nil {
		return s
	}
	defer c.life.leave()
	exact := c.out.tryAcquire()
	c.link.sent(&s, exact)
	if exact {
		c.out.release()
	}
	exact = c.in.tryAcquire()
	c.link.received(&s, exact)
	if exact {
		c.in.release()
	}
	return s
}
