package shmtest

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"testing"
)

// OrphanStatus is the exit status of a child whose lifeline closed before its role returned.
const OrphanStatus = 99

// misuseStatus is the exit status of a child whose role is unknown: that of a panicking Go program.
const misuseStatus = 2

// roleEnv names the environment variable that makes a test binary a child.
const roleEnv = "SHMTEST_ROLE"

// playedEnv names the environment variable that says which role a child plays, for [Become].
const playedEnv = "SHMTEST_PLAYED"

// Role is the main function of a child process. It gets the arguments given to [Child]; what it returns is the exit
// status. It reads the lines of [Process.Send] from os.Stdin, and what it writes to os.Stdout is read by
// [Process.Line]. The files of [ChildFiles] are its descriptors 3, 4 and so on.
type Role func(args []string) int

// Main is the body of a TestMain. It does not return.
//
// In a child process it runs the role named by the parent. Otherwise it runs the tests and exits with their status, or
// with 1 if they passed and left a file descriptor, a goroutine, or a mapping or /dev/shm entry of ours behind.
func Main(m *testing.M, roles map[string]Role) {
	if name, ok := os.LookupEnv(roleEnv); ok {
		os.Exit(runRole(name, roles))
	}
	before := takeSnapshot()
	status := m.Run()
	if status == 0 && !fuzzing() {
		status = before.report(os.Stderr)
	}
	os.Exit(status)
}

func runRole(name string, roles map[string]Role) int {
	// What the role itself executes is no child of ours, unless it is the role again.
	if err := errors.Join(os.Unsetenv(roleEnv), os.Setenv(playedEnv, name)); err != nil {
		fmt.Fprintf(os.Stderr, "shmtest: note the role: %v\n", err)
		return misuseStatus
	}
	role := roles[name]
	if role == nil {
		fmt.Fprintf(os.Stderr, "shmtest: child has no role %q\n", name)
		return misuseStatus
	}
	if err := holdLifeline(); err != nil {
		fmt.Fprintf(os.Stderr, "shmtest: hold lifeline: %v\n", err)
		return misuseStatus
	}
	return role(os.Args[1:])
}

// holdLifeline puts a pipe of this process between the lifeline and os.Stdin, so that the end of the lifeline is seen
// also while the role reads nothing.
func holdLifeline() error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	lifeline := os.Stdin
	os.Stdin = r
	go func() {
		_, err := io.Copy(w, lifeline)
		if err != nil {
			fmt.Fprintf(os.Stderr, "shmtest: read lifeline: %v\n", err)
		}
		os.Exit(OrphanStatus)
	}()
	return nil
}

// fuzzing reports whether this run fuzzes or is a fuzzing worker: those are ended by their coordinator in the middle of
// things and hold pipes and files of the fuzzing engine.
func fuzzing() bool {
	for _, name := range []string{"test.fuzz", "test.fuzzworker"} {
		if f := flag.Lookup(name); f != nil && f.Value.String() != f.DefValue {
			return true
		}
	}
	return false
}
