// Package shmseg makes and attaches segments: blocks of shared memory that carry a header and a fixed number of
// regions.
//
// A segment is created by one process and attached by others. This package knows nothing of what lies in the regions:
// it hands out []byte and says who may write them.
//
// # Memfd segments
//
// [CreateMemfd] makes a segment without a name. The creator maps it read-write and then seals it, so that nobody,
// itself included, can shrink or grow it, make another writable mapping, write to it through a descriptor, or punch
// holes in it: the mapping that exists already is the only way to write for as long as the segment lives. Its
// descriptor is sent to a peer, who calls [AttachMemfd] and gets a read-only mapping. Two peers who both want to write
// exchange two segments.
//
// Peers need not trust each other:
//
//   - S1. A receiver believes nothing that the sender could have forged: it asks the kernel for the seals, the file
//     system, the file type and the size, in this order and before it maps.
//   - S2. The sizes of an attached segment's regions are those agreed beforehand and handed to AttachMemfd, never
//     those in the header. The header serves people who look into segments.
//   - S3. A segment has one writable mapping, its creator's. Writing to an attached one is a fault.
//   - S4. The header is written once, before anybody else can have the descriptor. Its magic number is stored last.
//   - S5. Whatever fails, no descriptor and no mapping is left, and a descriptor handed to AttachMemfd is closed.
//
// A hostile creator can still change what it wrote at any time: read a shared word once into a local, check the local,
// use the local.
//
// # Named segments
//
// [CreateNamed] makes a segment that others find by name: a file on a tmpfs such as /dev/shm. It is for processes of one
// user that trust each other, start and stop independently and must find the segment again after a restart: whoever
// opens it with [OpenNamed] maps all of it read-write, unless it asks for less. It outlives its processes, until
// [Segment.Remove] or [RemoveNamed], or until the machine starts again.
//
//   - N1. A file has its final name only once it is complete, and no file that has a name ever loses it to another:
//     nobody sees a half-made segment, and nobody replaces a live one.
//   - N2. Whoever has a segment mapped holds a shared open-file-description lock on byte 0 of its file, from before the
//     file has a name or, when opening, from before it is known to have it still. The kernel gives it back when the last
//     descriptor and mapping of that description are gone. So an exclusive lock on it proves that nobody uses the
//     segment.
//   - N3. Whoever takes the name away from a file holds an exclusive lock on byte 4095 of it while comparing the two and
//     until the name is gone. So nobody removes the name of a successor.
//   - N4. Locks change no byte, and neither does opening. The bytes between the two are kept for locks of participants.
//   - N5. Opening follows no link and waits for nobody. It maps only a regular file on a tmpfs, of an accepted owner,
//     whose header holds in every field and is as long as the header says. A file cannot be sealed: whoever may write it
//     may truncate it later on, and [Segment.Guard] turns the fault into an error.
//
// # What it costs
//
// A new memfd segment is sparse: it takes one page, its header's, until more is touched. A named one has all its memory
// reserved from the beginning. The first touch of a page costs about 2.3 µs, also for a reader, who is charged for a
// page that it touches first; Prefault pays at once.
//
// # Goroutines
//
// All functions may be called from any goroutine. [Segment.Detach] unmaps: no goroutine may be using memory of the
// segment when it is called, else the process faults.
//
// # Platforms
//
// Segments need Linux 5.1 and a processor whose 64-bit atomics are more than process-local locks (not 32-bit MIPS, not
// ARM below version 7). Elsewhere the constructors return an error that Is [errors.ErrUnsupported];
// [DecodeHeader] and [Layout] work everywhere.
package shmseg
