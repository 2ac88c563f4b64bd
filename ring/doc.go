// Package ring passes messages from one goroutine or process to another through two regions of memory.
//
// A ring is N slots of S bytes and N descriptors, one 64-bit word per slot, in an array of their own: no byte of a
// message can be mistaken for a descriptor, and nobody has to clear anything. A message becomes a record, which takes
// as many consecutive slots as its bytes need. [Producer] and [Consumer] are the two ends of a single-producer,
// single-consumer ring; each is given its own region to write and the other's region, which it only reads. So each
// side needs no more than a read-only mapping of what the other writes, and a hostile peer can spoil nothing but the
// messages it sends.
//
// Messages go in by copy ([Producer.Send], [Producer.SendBatch]) or are written in place ([Producer.Claim], then
// Commit or Abort); they come out by copy ([Consumer.Receive]) or as a view ([Consumer.Next], then Release).
// Methods named Try never wait; the others wait until done, until the context ends, or until Config.Stopped says so.
// Nothing allocates once a handle has been made, except that the first sleep under a new context does.
//
// The package makes no system call, opens nothing and starts no goroutine: how one sleeps and wakes is given to it as
// a [Waiter] and a [Doorbell]. Regions are any []byte that start on a 128-byte boundary; layout.go draws them.
//
// # Positions
//
// A position counts slots from the beginning and never wraps in practice; arithmetic on it is modulo 2^64 all the same.
//
//	          given back       records, newest last           free
//	slots … ────────────────┬───────────────────────────┬──────────────────┬─ …
//	                 consumer position           producer position   consumer position + N
//	                        [      the consumer's       )[   the producer's  )
//
// Index = position mod N, lap = (position / N) mod 2^36.
//
// # Invariants
//
//   - I1 Geometry, masks and limits are private and come from [Config]. A shared word of the other side is loaded once
//     into a local, checked, and only the local is used. Anything impossible is a [*CorruptError], which ends the handle.
//   - I2 consumer position ≤ producer position ≤ consumer position + N. Each side knows its own position privately; the
//     consumer's is also published, the producer's is not: the descriptors say it.
//   - I3 A descriptor counts for a position only if it is not EMPTY and has the position's lap. The consumer looks at the
//     descriptor at its own position and nowhere else.
//   - I4 No record crosses the end of the ring. A SKIP descriptor covers exactly the slots left before the end, never
//     starts at index 0, and has a record behind it at index 0 (or the end of the stream, see I6). A record is at most
//     half the ring, so it and its padding always fit into an empty one.
//   - I5 The producer writes only slots and descriptors from its position up to consumer position + N, of which it keeps
//     a private lower bound. A claim and its abort write nothing shared that the consumer looks at before a commit.
//   - I6 The closed word holds the final position + 1. A record that ends at position 2^64−1 leaves a slot free, so that
//     Close can move on to 0, whose closed word is not 0.
//   - I7 Who sleeps does all of this every time: load the doorbell d; announce (parks + 1, full fence); look again for
//     everything that ends the wait; sleep while the doorbell is d.
//   - I8 Who publishes then looks at the other side's announcements, behind a full fence, and if there is one that it has
//     not answered, rings and only then notes it as answered. Only a peer that has declared never to sleep is not looked at.
//   - I9 Who waits, in whatever way, has made everything visible first: the producer has published what is in hand and
//     answered the consumer's announcements, the consumer has published its position.
//   - I10 The first descriptor of a batch is written last. The consumer cannot look past it, so plain stores do for the
//     others.
//
// # Memory model
//
// In the terminology of the Go memory model, the atomic store of a descriptor (or of the first descriptor of a batch)
// synchronizes before the load by which the consumer finds the record, and the store of the consumer's position
// synchronizes before the load by which the producer finds the space. On amd64 and arm64 a store that nothing has to
// follow in order is a plain MOV or STLR; under the race detector everything is sync/atomic.
//
// # Limits
//
// A descriptor left from exactly 2^36 laps ago looks current. The consumer has always taken it by then and the producer
// overwritten it, so only memory handed to a new ring without clearing could show it.
//
// The owner of a region must keep its memory from shrinking; a fault is not caught here.
package ring
