// Package shmtest is what the module's tests share: child processes that play the other side, proofs that something
// blocks or happens, reproducible randomness, and a check that a package's tests leave nothing behind.
//
// Every package with tests hands its TestMain to [Main]:
//
//	func TestMain(m *testing.M) {
//		shmtest.Main(m, map[string]shmtest.Role{"echo": echo})
//	}
//
// # Children
//
// [Child] executes the test binary again; [Main] sees from the environment that it is a child and runs the named
// [Role] instead of the tests. A child's standard input is a pipe whose other end only its parent holds: it carries the
// lines of [Process.Send] and is the child's lifeline. When it closes, because the parent says so or is dead, the child
// ends at once with [OrphanStatus], whatever its role is doing. So no test can leave a process, not even one that is
// killed. [Program] does the same with another program, which has to watch its standard input itself.
//
// # Leaks
//
// Main compares file descriptors, mappings, goroutines, and /dev/shm entries named shmwire or .shmwire (still being
// built) before and after the tests, and fails the run with exit status 1 naming what is left. Files and mappings are
// checked on Linux only.
//
// # Emulators
//
// With SHMTEST_RUNNER set, tests of another architecture run the same, all their processes under the runner. Where
// qemu-user does not do as the kernel does, NeedsX skips the one case, or XIs tells it to ask for less.
//
// # Environment
//
//   - SHMTEST_SEED repeats random tests with the seed that one printed.
//   - SHMTEST_RUNNER is the command that executes children built for another architecture.
//   - SHMTEST_PATIENCE is how long to wait for what must happen, 10 s by default.
//   - SHMTEST_SHMDIR is where to look for segments left behind instead of /dev/shm.
package shmtest
