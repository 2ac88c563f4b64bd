// Command shmctl looks into the shared memory of live and dead processes: the rings of connections, found through
// /proc, and named segments.
//
//	shmctl ls             one line for each ring
//	shmctl info NAME|PID  everything about the rings of that name or process
//
// It only looks. Segments are opened and mapped read-only, no lock is taken, and no payload is read; a ring that is in
// use runs on undisturbed. A page of a descriptor table that nobody has touched yet may get its memory.
//
// Connections are found through the memfds that processes have open or mapped. Processes of other users can only be
// looked into by root; how many were left out is said on standard error. What a dead process has left behind exists in
// its peer's mappings alone, which only root (CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE) may open; for others that side is
// "not readable".
//
// The producers of a ring that has many are told apart by their owner numbers. Who has a number, and whether that process
// lives, is what the ring's table says; the ring itself steps over a claim only when the death is proven to it.
//
// # States
//
//   - ok: records are waiting, or nothing is the matter
//   - full: no slot is free, or the producer sleeps because there are too few
//   - idle: nothing waits
//   - dead peer: a process on one of its sides has died without closing it; of many producers, one inside a claim
//   - closed: one of its sides was closed
//   - unreadable: one of its sides cannot be looked into
//   - foreign: made by another version; only what every version has in common is shown
//   - corrupt: something in it is impossible
//
// The first that applies of foreign, corrupt, dead peer, closed, unreadable, full, idle, ok is shown.
//
// # Output
//
// Data goes to standard output, everything else to standard error. With -o json the output is an object with
// "schema": "shmctl/v1"; sizes are in bytes, times as in RFC 3339, and what is not known is null. The table is for people
// and may change.
//
// # Exit status
//
// 0 done, 1 wrong usage, 2 not found or not permitted, 4 corrupt (info only), 130 interrupted.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	// Writing to a closed pipe must be an error, which ends us quietly, and not a signal.
	signal.Ignore(syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	context.AfterFunc(ctx, stop) // a second interrupt ends us at once
	status := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(status)
}
