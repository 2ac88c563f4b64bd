package sys

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
)

// Identity names a process so that no other process, now or later, has the same name: a PID alone is used again after
// its process has ended. Parts that could not be learned (no /proc) are zero.
type Identity struct {
	PID          int
	Start        uint64   // start time in clock ticks since the machine started
	BootID       [16]byte // changes whenever the machine starts
	PIDNamespace uint64   // inode number of the PID namespace that PID belongs to
}

// Self returns the identity of this process. It is learned once: it cannot change.
func Self() Identity { return self() }

var self = sync.OnceValue(learnSelf)

func learnSelf() Identity {
	id := Identity{PID: os.Getpid()}
	// What cannot be learned stays zero: identities serve people who look into segments, nothing depends on them.
	id.Start, _ = startTime("self")
	id.BootID, _ = BootID()
	id.PIDNamespace, _ = PIDNamespace()
	return id
}

// StartTime returns when the process pid of our own PID namespace started, in clock ticks since the machine started.
// The error is fs.ErrNotExist if there is no such process.
func StartTime(pid int) (uint64, error) { return startTime(strconv.Itoa(pid)) }

// parseBootID takes 16 bytes out of the text of a UUID, such as 07b3911d-5a13-47fd-8cf2-a94cff017114.
func parseBootID(text []byte) (id [16]byte, err error) {
	digits := strings.ReplaceAll(string(bytes.TrimSpace(text)), "-", "")
	b, err := hex.DecodeString(digits)
	if err != nil || len(b) != len(id) {
		return id, fmt.Errorf("parse boot id %q: not 32 hexadecimal digits", text)
	}
	copy(id[:], b)
	return id, nil
}

// parseStartTime takes field 22, starttime, out of the text of /proc/PID/stat. Field 2 is the command's name in
// parentheses, which may hold anything, blanks and parentheses included, so fields are counted from the last ')'.
func parseStartTime(text []byte) (uint64, error) {
	const afterName = 22 - 3 // field 3 is the first behind the name
	i := bytes.LastIndexByte(text, ')')
	if i < 0 {
		return 0, errors.New("parse process status: no command name")
	}
	fields := bytes.Fields(text[i+1:])
	if len(fields) <= afterName {
		return 0, fmt.Errorf("parse process status: %d fields behind the name, want more than %d", len(fields), afterName)
	}
	start, err := strconv.ParseUint(string(fields[afterName]), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("parse start time: %w", err)
	}
	return start, nil
}

// parseNamespace takes the inode number out of what a namespace link says, such as pid:[4026531836].
func parseNamespace(link string) (uint64, error) {
	inside, ok := strings.CutPrefix(link, "pid:[")
	inside, closed := strings.CutSuffix(inside, "]")
	if !ok || !closed {
		return 0, fmt.Errorf("parse namespace %q: want pid:[NUMBER]", link)
	}
	n, err := strconv.ParseUint(inside, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("parse namespace %q: %w", link, err)
	}
	return n, nil
}
