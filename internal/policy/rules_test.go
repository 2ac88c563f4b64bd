package policy_test

import (
	"strings"
	"testing"
)

// rule is one thing that must be true of the module. check returns what is not, one line for each place.
type rule struct {
	name  string
	why   string
	check func(h *house) []string
}

// rules is the table. Do not relax a rule to fix a build: see the package comment.
func rules() []rule {
	return []rule{
		{"floors", "imports go downwards only, so that each layer can be used, tested and understood alone; the four " +
			"layers of floor 2 are joined by the root and by nobody else", floorsKept},
		{"outside imports", "an importer compiles two small modules; system calls and mappings are audited in one " +
			"package each; what tests need stays in tests", outsideImportsKept},
		{"unsafe files", "every conversion that the compiler cannot check is found by its file name", unsafeInItsFiles},
		{"quiet ring", "a ring is arithmetic on memory: no system call, nothing opened, no goroutine, so it can be " +
			"model-checked, fuzzed and run on heap memory under the race detector", ringIsQuiet},
		{"no output", "a library that writes or logs decides for its users; it has hooks instead", libraryIsSilent},
		{"no state", "two connections in one process must not meet in a variable, and tests run in parallel", noPackageState},
		{"no init", "linking the module in must not do anything", noInit},
		{"package comments", "the first thing a reader sees of a package is why it exists", packagesExplained},
		{"doc comments", "what is exported is a promise, and a promise is written down", exportsExplained},
		{"no leftovers", "what is not done is an issue, not a note in the code", noLeftovers},
		{"no sleeping tests", "a test that orders events by waiting fails on a slow machine and wastes a fast one", testsDoNotSleep},
		{"readme", "a newcomer tries the two commands and reads one page", readmeIsShort},
	}
}

func TestHouse(t *testing.T) {
	h := thisHouse(t)
	for _, r := range rules() {
		t.Run(r.name, func(t *testing.T) {
			if found := r.check(h); len(found) > 0 {
				t.Errorf("%s.\nBroken here:\n  %s", r.why, strings.Join(found, "\n  "))
			}
		})
	}
}
