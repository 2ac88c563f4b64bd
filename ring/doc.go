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
// Commit or Abort); they come out by copy ([Consumer.Receive]), as a view ([Consumer.Next], then Release), or many at a time
// ([Consumer.Drain]; [Consumer.Read] if a handler decides message by message what is given back). [Inspect] and [Peek] look
// at a ring from outside without touching it.
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
//     descriptor at its own position and nowhere else (but for a hint which lines to ask for, from which nothing follows).
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
//   - I16 The stream ends when there has been an owner, all are closed or proven dead at one moment, and after it the claim
//     word still says that nothing has been claimed behind the consumer's position. An owner closes when all its claims have ended.
//
// # Memory model
//
// In the terminology of the Go memory model, the atomic store of a descriptor (or of the first descriptor of a batch)
// synchronizes before the load by which the consumer finds the record, and the store of the consumer's position
// synchronizes before the load by which the producer finds the space. On amd64 and arm64 a store that nothing has to
// follow in order is a plain MOV or STLR; under the race detector everything is sync/atomic.
//
// # For a peer in another language
//
// This is all that a program needs to be either end of an SPSC ring whose other end this package is, together with the
// drawings of regions, header and descriptor at [HeaderOffset]. Orders are named as in C11. One such program, in C, takes
// part in the module's tests: testdata/cpeer.
//
// Words have the byte order of the machine and are aligned to their size; every access to one is a single atomic load or
// store of all of it, or a read-modify-write. The bytes of a message are plain memory.
//
// Agreed beforehand, since neither end believes the other's region: where the regions are, N and S, the position of the
// first slot, whether an end ever sleeps, and how it is woken. Whoever makes the memory zeroes it. Each end writes its own
// region only and needs the other's for reading only.
//
//   - Attach. Fill in the own region's header, the magic last, which only inspectors read. The consumer stores the start
//     in its position word, before a producer whose start is not 0 looks. Parks and doorbell words go on from what they
//     hold; sleeping words may stay 0, and statistics too, but for one: a producer stores its position in the word at 696 at
//     least once a lap, which whoever takes over, and inspectors, compare with the consumer's position. Load the other
//     end's parks and remember them less 1 as answered, and ring once: the other end may have gone to sleep before.
//   - Send. A message takes max(1, ⌈length / S⌉) slots in a row, its bytes beginning where the first of them does; what is
//     left of the last is not looked at. If fewer slots are left before the end of the ring, they are padding, and the
//     record begins at index 0. The producer may pad also where a record would fit, if a record follows. There is space if
//     padding and record end no further than the consumer's position + N, loaded with acquire; it never goes back and never
//     passes what the producer has published. Write the bytes; then publish by a release store of the descriptor at the
//     producer's position. With padding, or in a batch, that is the SKIP or the first record, and the others' descriptors,
//     which lie behind it, have been stored before, relaxed. Then answer.
//   - Receive. Load the descriptor at the consumer's position with acquire. If it does not count (I3), there is nothing yet.
//     COMMITTED: X bytes, which must be no more than [Geometry.MaxRecord] and not cross the end. SKIP: X must be the slots
//     left before the end, and the index not 0; go on there and look again. Anything else is corrupt.
//   - Give back. Store the position in the consumer's position word with release, then answer: before any wait, spinning
//     included, in any case, or a producer with a record of half the ring and a consumer wait for each other; and best
//     every N/8 slots, so that the producer need not wait.
//   - Answer, if the other end may sleep. Fence (seq_cst), load its parks; if they are not the ones answered last, ring, and
//     only then remember them as answered. The producer answers also before it waits for space with nothing to publish.
//   - Sleep. Load the other end's doorbell (acquire); add 1 to the own parks (seq_cst); fence (seq_cst); look again for
//     all that ends the wait, the other end's closed word included; and only if there is nothing, wait while the doorbell
//     has that value. Start over after every wait, whatever ended it.
//   - Ring. Add 1 to the own doorbell (seq_cst), modulo 2^32, and wake one that waits for it to change. Between processes of
//     one user that is usually a futex: wait by FUTEX_WAIT on the other end's doorbell word, wake by FUTEX_WAKE of 1 on the
//     own, neither with FUTEX_PRIVATE_FLAG, since the word is shared; waiting works on a read-only mapping. Package sem
//     of this module has it as FutexWaiter and FutexDoorbell. Who is woken otherwise advances the word all the same.
//   - End. The producer publishes what is in hand and stores its final position + 1 in its closed word with release (I6 for
//     the one position where that is 0: SKIP 1 leads to position 0), then rings, whether anybody sleeps or not. A consumer
//     that finds nothing loads that word with acquire; if it is not 0, it looks for a record once more, and if there is
//     still none, the word must be its own position + 1, and that is the end. The consumer closes by storing its position,
//     and then 1 in its closed word with release, and rings; a producer loads that word when there is no space.
//   - Take over, when the predecessor is gone for good. The consumer goes on at the position in its own region. The producer
//     walks the descriptors from the consumer's position to the first that does not count, and goes on there, by I11.
//
// # Limits
//
// A descriptor left from exactly 2^36 laps ago looks current. The consumer has always taken it by then and the producer
// overwritten it, so only memory handed to a new ring without clearing could show it. A producer of an MPSC ring that is
// stopped inside a claim while the others claim exactly 2^38 slots, so that the claim word is the same again, takes it for
// unchanged; and a consumer that lies about its position by exactly a multiple of 2^38, below 2^62, is believed, to its own harm.
//
// Producers of an MPSC ring that wait for space for a large record can be overtaken by smaller ones for as long as these
// keep coming; the context bounds the wait.
//
// The owner of a region must keep its memory from shrinking; a fault is not caught here.
package ring
