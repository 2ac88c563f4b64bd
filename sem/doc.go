// Package sem lets one process sleep until another rings: by a shared futex, by an eventfd in the runtime's poller, or
// by a doorbell that a goroutine of its own process reads, all behind one [Waiter] interface; and it says how long to
// spin before sleeping.
//
// # The protocol
//
// A sleeper announces itself in a word of its own memory (parks) and the waker remembers the last announcement that it
// answered (rung), so that one sleep costs about one ring, a busy peer costs none, and nobody writes the other's
// memory:
//
//	sleeper:  d := w.Load();  parks.Add(1);  look again;  w.Wait(d, timeout)
//	waker:    publish;  p := parks.Load();  if p != rung { bell.Ring(); rung = p }
//
// "parks.Add, then look" and "publish, then parks.Load" must each be ordered against the other, so both need
// sequentially consistent atomics; either one alone loses wake-ups. parks is 64 bits and never reset; rung is private
// to one waker and written after the ring; a waker that attaches sets rung = parks-1 and rings once.
//
// parks, rung and the look belong to whoever uses this package (a ring, for instance). The package supplies how one
// sleeps ([Waiter]), how one wakes ([Doorbell]) and how long one spins ([Adaptive.Spin], [SpinForever]).
//
// # What holds for every Waiter
//
// W1. A ring that comes after Load ends the Wait that follows, or one that is under way.
//
// W2. An Interrupt that comes after Load does the same, without touching the doorbell, which may be the peer's. Who
// sets a flag and then calls Interrupt knows that the sleeper looks at the flag again.
//
// W3. Wait returns nil for "look again". It may do so at any time without cause: every Wait, also one that follows
// a time-out, is preceded by the whole sequence from Load.
//
// W4. An error from Wait says that waiting can never work again; after Close it Is [os.ErrClosed].
//
// W5. When Close has returned, nothing of the waiter touches its memory or descriptor any more.
//
// W6. One sleeper per waiter, one waiter per doorbell. Two goroutines that wait on one eventfd or one socket swallow
// each other's rings. Load and Wait therefore belong to one goroutine at a time, and two at once panic. (Several
// sleepers may wait on one futex word, each with a FutexWaiter of its own, if the doorbell wakes all.)
//
// W7. Load, Wait and Ring allocate nothing.
//
// # Which to choose
//
// A [FutexWaiter] has the lowest latency but holds an OS thread while it waits: for dedicated receivers, between
// processes of one user. An [Eventfd] waits in the runtime's poller, so ten thousand waiting goroutines cost no
// threads. A [Relay] needs no system call and works on every platform; something else must read the doorbell and
// call Wake. Wrap the waiter of a connection whose peer might ring without reason in a [Throttle].
//
// Spinning pays only if each side has a processor of its own: [SpinForever] for those who give one,
// [Adaptive] for those who do not know.
//
// Futexes and eventfds are Linux's. Elsewhere their constructors return an error that Is [errors.ErrUnsupported].
package sem
