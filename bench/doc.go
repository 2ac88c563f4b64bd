// Package bench compares shmwire with what else two processes of one machine can use, and with what C can do there. It
// is tests and benchmarks only; nothing imports it.
//
//	go test -run '^$' -bench . ./bench                       everything, a quarter of an hour
//	go test -run '^$' -bench . -benchtime=1x ./bench         everything once, under a minute: does it still run?
//	go test -run '^$' -bench 'Stream/transport=shm/wait=spin/batch=1$/size=64$' ./bench
//	go test -run '^$' -bench . ./bench | awk -f bench/table.awk    a Markdown table
//
// Slashes in the pattern separate levels, so write one for each: 'RoundTrip/transport=(shm|unix)/.*/.*/size=64$'. For
// benchstat take -count=10. Figures are to be believed only from a machine that does nothing else.
//
// # Rows
//
//	BenchmarkRoundTrip/transport=T/wait=W/placement=P/size=N
//	BenchmarkStream/transport=T/wait=W/batch=B/size=N
//	BenchmarkStream/transport=shm-mpsc/wait=spin/producers=K/batch=B/size=N
//	BenchmarkInPlace/transport=shm/wait=spin/size=N
//
// Every row is two processes: the test binary, and itself again as the peer. With many producers it is K + 1: the test
// binary and K−1 more send, the peer receives.
//
//   - transport: shm is a bare ring each way (package ring, on memfds, with the waiters of package sem); shm-mpsc is one
//     bare ring with many producers (on a named segment); conn is a shmwire.Conn, used as a net.Conn by Write and Read;
//     unix, socketpair and tcp are Go's net.Conn; fifo is two named pipes; c is the C reference (folder cref) with
//     processes of its own: a single-producer single-consumer ring of fixed slots with cached indices, copy in and copy
//     out.
//   - wait: spin never parks; adaptive spins while that pays and parks in the runtime's poller; futex parks in a futex;
//     poller parks in the runtime's poller; block is the kernel's own way. Both sides wait alike. With spin each side has
//     declared that it never parks, so publishing costs no fence: this is the only mode in which shm leaves it out.
//   - placement: same is both processes on one processor; awake is a processor each, kept from going idle by a third
//     process that spins on them at SCHED_IDLE while slices of somebody who parks run; idle is a processor each and a
//     millisecond without work before each message, not counted. Streams have a processor each. Spinning on one
//     processor, or on idle ones, makes no sense and is skipped.
//   - batch: messages published together (SendBatch; in C one store of the index). 1 is one publication per message.
//   - producers: processes that send. All of them share the first processor, and the consumer has the second for itself,
//     in C as in Go. Each of several that finds no space yields the processor (sched_yield) before it looks again, since
//     it may be keeping the one whose message the consumer waits for.
//   - size: bytes of a message. Rings have max(256 KiB, 4 sizes), in slots of 64 bytes (of 16 for 8-byte messages); the
//     column ring-bytes says it. A ring in C has room for as many bytes of messages.
//
// InPlace is a stream without copies: the sender claims space in the ring, fills it and commits, the receiver adds up the
// bytes where they lie, as words of 64 bits, and releases them.
//
// Processes are pinned with all their threads. GOMAXPROCS is what -cpu says (all processors), but 1 with placement=same,
// as in a container of one processor.
//
// # Columns
//
//   - ns/op: b.N messages from the first to the last, timed as a whole; of a stream up to the receipt of the last; with
//     placement=idle the mean round trip. It has no clock in its loop, and is the column that moves with the machine.
//     (transport=c has none.)
//   - p50-ns, p99-ns: of a round trip; of a stream, of the time per message in blocks of about 0.2 ms, on the receiving
//     side. From the slices, never from b.N. With many producers a block has two rings of messages at least: while one of
//     them is kept from finishing a message the others fill the ring, and a shorter block would show either the wait or
//     what came all at once after it.
//   - msgs/s: 1e9 / p50-ns. So it is the median block's rate of a stream.
//   - allocs-both/op: heap allocations of all processes per message, median over slices. What the runtime allocates
//     now and then for itself (a thread, say) counts too, and shows where a slice has few messages.
//   - probe-ns: where the two processors stood to each other meanwhile (median of the probes).
//   - x-unix: how many times faster than Go's Unix net.Conn at the same size and placement, one Write and one whole Read
//     per message. x-cring: than the C ring publishing every message (of round trips, in rows that spin). x-cbatch: than
//     that ring with the row's batch. x-cinplace: than that ring without copies. x-cslot, of round trips: than a C ring
//     whose slots say by a word of their own that they are ready, the quicker of the two nearly everywhere; the better C
//     ring is the one with the smaller ratio. x-ccas: than a C ring of such slots whose producers, as many as the row's,
//     claim them one by one by compare-and-swap; x-ccasbatch: than the same claiming the row's batch at once. x-cfixed:
//     than the C ring with the row's batch (of round trips, that of x-cslot; with many producers, that of x-ccasbatch)
//     compiled for messages of this size alone, which at 8 and 64 bytes is another matter: no call copies or compares.
//     Ours and the other C rings learn each message's length at run time.
//     x-pingpong: the C ping-pong of two cache lines, which bounds every round trip, divided by ours: 1 would be the limit
//     (rows that spin, or may). All are ratios of medians within one pair of slices, and the median over the pairs; -min
//     and -max beside them are the extremes. Above 1 is faster.
//   - slices, dropped: slices of the row itself that counted and did not. With slices = 0 the machine never stood still,
//     the figures are from all slices, and are worth as much.
//   - ring-bytes: size of each ring.
//
// A round trip is timed from before the send to after the receipt, so its time holds one reading of the clock (clock-ns
// at the head of the output), in C as in Go.
//
// # Method
//
// On a shared machine the floor moves tenfold with where the hypervisor puts the processors, so only what runs
// alternately can be compared. Each row runs its own slices of 20 to 100 ms (a twentieth of -benchtime) and those of its
// baselines in turn, A B C A B C, with the benchmark's timer stopped, until each comparison has at least five valid
// pairs or thrice as many were tried. Before and after each slice two C processes play ping-pong on the same two
// processors for 2 ms; a pair of slices around which the probes differ by more than 1.3 is dropped. With
// -benchtime=1x one slice of 3 ms of each is run.
//
// Every byte is written by the sender and read by the receiver in every row, in C too: a message begins with its number
// and is cut from a pattern, at a place that depends on the number and differs from chunk to chunk. The receiver compares
// all of it and the order, that of each producer if there are many; in place it compares the sum. In a round trip the
// other side's comparison is timed, our own is not.
//
// Without a C compiler (cc, or what CC names) there is no probe, no slice is dropped, and the columns and rows that need
// the C reference are missing; the head of the output and the skipped rows say so.
package bench
