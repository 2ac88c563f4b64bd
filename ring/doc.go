// Package ring passes messages from one goroutine or process, or from many, to another through two regions of memory.
//
// A ring is N slots of S bytes and N descriptors, one 64-bit word per slot, in an array of their own: no byte of a
// message can be mistaken for a descriptor, and nobody has to clear anything. A message becomes a record, which takes
// as many consecutive slots as its bytes need. [Producer] and [Consumer] are the ends of a ring; each side is given its
// own region to write and the other's region, which it only reads. So each side needs no more than a read-only mapping of
// what the other writes, and a hostile peer can spoil nothing but the messages it sends.
//
// A ring has a single producer (SPSC), unless [Geometry] says MPSC: then up to [Owners] producers, which may come, go and
// die at any time, share the producer region. They need not trust the consumer, but one another. No lock is involved:
// producers claim slots in turn and fill them side by side, and when one is killed in the middle, the others and the
// consumer go on as soon as its death is proven ([Config.ProvenDead]). Whoever is merely slow is waited for.
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
//     others (on an MPSC ring release stores, because another producer may look at one).
//   - I11 An SPSC producer that takes over from a predecessor finds its position by walking the descriptors from the
//     consumer's published position, and clears every descriptor from there to that position + N before it commits
//     anything: a predecessor killed inside a batch, or between a record and the SKIP that publishes it, has left
//     descriptors there that would one day be taken for messages.
//
// On an MPSC ring besides, instead of I5 and the private position of I2:
//
//   - I12 Slots are claimed in order by compare-and-swap of one word, which says start, slots and owner of the last claim.
//     Before a claim succeeds the one before it is described: its owner has written its descriptor, or whoever claims next
//     writes BUSY there for it. So only the last claim can be without a descriptor, and its extent and owner stand in the
//     claim word: there is never a hole of unknown length. An owner writes only its claim's slots and descriptors.
//   - I13 Who claims loads the claim word, the consumer's position from shared memory, the descriptor of the last claim, and
//     the claim word again; if that has changed it starts over. Only then may it believe that the claim lies between the
//     consumer's position and a ring further, work out 64-bit positions, and describe it. No order of laps is worked out.
//   - I14 Nobody gets an owner number while a claim of its last bearer may be unfinished: a number that was given back in
//     order is free at once; that of a dead owner once the consumer has passed the end of the last claim made until the
//     death was proven. Each bearer adds one to the number's generation before its first claim, and a newcomer that finds
//     the generation changed starts over.
//   - I15 The consumer steps over a claim only if its owner is proven dead and the claim's descriptor, loaded again after
//     the proof, is still what it was. No time-out ever does. A claim is neither taken back nor shortened: an abort covers
//     it with a SKIP, and padding is a claim of its own.
//   - I16 The stream ends when there has been an owner, all are closed or proven dead, and then the claim word still says
//     that nothing has been claimed behind the consumer's position. An owner closes when all its claims have ended.
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
// overwritten it, so only memory handed to a new ring without clearing could show it. A producer of an MPSC ring that is
// stopped inside a claim while the others claim exactly 2^38 slots, so that the claim word is the same again, takes it for
// unchanged.
//
// Producers of an MPSC ring that wait for space for a large record can be overtaken by smaller ones for as long as these
// keep coming; the context bounds the wait.
//
// The owner of a region must keep its memory from shrinking; a fault is not caught here.
package ring
