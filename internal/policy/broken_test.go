package policy_test

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// broken is a change to a module that keeps all rules, and what one rule says of it: nothing if found is empty.
type broken struct {
	rule  string
	name  string
	files map[string]string // path to text, added or replaced; "" removes
	found []string          // one part of each finding
}

const goodReadme = "# shmwire\n\nWhat it is.\n\n## Quick start\n\n```sh\n" + quickStart + "```\n\n## Next\n\n```\nother\n```\n"

// good is a small module that keeps all rules, with what is allowed but looks forbidden.
func good() map[string]string {
	return map[string]string{
		"go.mod":    "module " + modulePath + "\n",
		"README.md": goodReadme,
		"doc.go":    "// Package shmwire is the root.\npackage shmwire\n",
		"conn.go": file("shmwire", "errors", "net", own("ring"), own("sem"), own("internal/sys")) + `
// ErrPeerDied says so.
var ErrPeerDied = errors.New("peer died")

// What happens to a connection.
var (
	ErrClosed = net.ErrClosed
	_ net.Conn = (*Conn)(nil)
	names = [...]string{"a", "b"}
	magic = []byte("SHMWIRE1")
	past = time.Unix(1, 0)
)

// Conn is one.
type Conn struct {
	// Sent and Received count messages.
	Sent int
	Received int
	Lost int // messages
	private int
}

// Close ends it.
func (c *Conn) Close() error { go c.end(); return nil }

func (c *Conn) end() {}

type hidden struct{ Field int }

func (hidden) Exported() {}
`,
		"conn_test.go":                file("shmwire_test", "testing", "syscall", own("."), own("ring"), own("internal/shmtest"), "golang.org/x/net/nettest"),
		"internal/mem/doc.go":         "// Package mem is shared words.\npackage mem\n",
		"internal/mem/word_unsafe.go": file("mem", "unsafe"),
		"internal/mem/mem_test.go":    file("mem_test", own("internal/sys"), own("internal/mem")),
		"internal/sys/doc.go":         "// Package sys is system calls.\npackage sys\n",
		"internal/sys/sys_linux.go":   file("sys", "syscall", "golang.org/x/sys/unix"),
		"internal/shmtest/doc.go":     "// Package shmtest helps tests.\npackage shmtest\n",
		"internal/shmtest/leak.go":    file("shmtest", "testing", "go.uber.org/goleak", "os/exec"),
		"ring/ring.go":                "// Package ring is rings.\n" + file("ring", "os", own("internal/mem")) + "\nfunc closed() error { return os.ErrClosed }\n",
		"ring/ring_test.go":           file("ring_test", "os", own("internal/shmtest"), own("ring"), "pgregory.net/rapid") + "\nfunc f() { go f(); time.After(1) }\n",
		"shmseg/map.go":               "// Package shmseg is segments.\n" + file("shmseg", "github.com/edsrzf/mmap-go", own("internal/sys")),
		"sem/sem.go":                  "// Package sem wakes.\n" + file("sem", own("internal/sys"), own("internal/mem")),
		"sem/sem_test.go":             file("sem_test", "github.com/edsrzf/mmap-go", "github.com/stretchr/testify/require"),
		"examples/lb/main.go":         "// Command lb balances.\n" + file("main", "log", "syscall", own("."), own("examples/lb/part")) + "\nvar _ = syscall.SIGTERM\n",
		"examples/lb/part/part.go":    "// Package part is one.\n" + file("part"),
		"nested/go.mod":               "module nested\n",
		"nested/main.go":              "package main\nimport _ \"example.org/anything\"\n",
		"ring/testdata/src.go":        "package bad\nimport _ \"example.org/anything\"\n",
	}
}

func own(dir string) string {
	if dir == "." {
		return modulePath
	}
	return modulePath + "/" + dir
}

// file returns the beginning of a Go file.
func file(pkg string, imports ...string) string {
	var b strings.Builder
	b.WriteString("package " + pkg + "\n\nimport (\n")
	for _, p := range imports {
		b.WriteString("\t\"" + p + "\"\n")
	}
	b.WriteString(")\n")
	return b.String()
}

func brokenHouses() []broken {
	one := func(rule, name, path, text string, found ...string) broken {
		return broken{rule, name, map[string]string{path: text}, found}
	}
	leftover := "T" + "ODO"
	sleeper := "time.Sl" + "eep"
	return []broken{
		one("floors", "two of floor 2", "ring/a.go", file("ring", own("shmseg")), "ring/a.go:4: ring must not import shmseg"),
		one("floors", "two of floor 2 in a test", "sem/a_test.go", file("sem_test", own("ring")), "sem must not import ring"),
		one("floors", "upwards to the root", "fallback/a.go", "// Package fallback is.\n"+file("fallback", own(".")), "fallback must not import ."),
		one("floors", "upwards in a test", "internal/mem/a_test.go", file("mem_test", own("ring")), "internal/mem must not import ring"),
		one("floors", "along floor 1", "internal/mem/a.go", file("mem", own("internal/sys")), "must not import internal/sys"),
		one("floors", "ring on system calls", "ring/a.go", file("ring", own("internal/sys")), "must not import internal/sys"),
		one("floors", "test help in shipped code", "conn.go", file("shmwire", own("internal/shmtest")), "must not import internal/shmtest"),
		one("floors", "machinery in an example", "examples/lb/a.go", file("main", own("internal/sys")), "must not import internal/sys"),
		one("floors", "another system's file", "ring/a_windows.go", "//go:build windows\n\n"+file("ring", own("sem")), "ring must not import sem"),
		one("floors", "new folder", "util/util.go", file("util"), "folder util stands on no floor"),

		one("outside imports", "unix outside sys", "sem/a.go", file("sem", "golang.org/x/sys/unix"), "sem must not import golang.org/x/sys/unix"),
		one("outside imports", "syscall outside sys", "conn.go", file("shmwire", "syscall"), ". must not import syscall"),
		one("outside imports", "syscall in a program", "examples/lb/a.go", file("main", "syscall")+"\nvar _ = syscall.Kill\n", "must not import syscall"),
		one("outside imports", "mapping outside shmseg", "sem/a.go", file("sem", "github.com/edsrzf/mmap-go"), "sem must not import"),
		one("outside imports", "mapping in another's test", "ring/a_test.go", file("ring_test", "github.com/edsrzf/mmap-go"), "ring must not import"),
		one("outside imports", "testify shipped", "internal/shmtest/a.go", file("shmtest", "github.com/stretchr/testify/assert"), "must not import github.com/stretchr"),
		one("outside imports", "cobra in the library", "conn.go", file("shmwire", "github.com/spf13/cobra"), "must not import github.com/spf13/cobra"),
		one("outside imports", "goleak shipped", "conn.go", file("shmwire", "go.uber.org/goleak"), "must not import go.uber.org/goleak"),
		one("outside imports", "rapid and nettest shipped", "conn.go", file("shmwire", "pgregory.net/rapid", "golang.org/x/net/nettest"), "rapid", "nettest"),
		one("outside imports", "testing shipped", "conn.go", file("shmwire", "testing/iotest"), "must not import testing/iotest"),
		one("outside imports", "cgo", "conn.go", file("shmwire", "C"), "must not import C"),
		one("outside imports", "unknown module", "conn_test.go", file("shmwire_test", "example.org/x"), "must not import example.org/x"),

		one("unsafe files", "other name", "ring/a.go", file("ring", "unsafe"), "ring/a.go:4: unsafe in a file"),
		one("unsafe files", "test", "ring/a_test.go", file("ring_test", "unsafe"), "unsafe in a file"),
		one("unsafe files", "test with the name", "ring/a_unsafe_test.go", file("ring_test", "unsafe")),

		one("quiet ring", "goroutine", "ring/a.go", file("ring")+"\nfunc f() { func() { go f() }() }\n", "starts a goroutine"),
		one("quiet ring", "packages", "ring/a.go", file("ring", "net", "os/exec", own("internal/sys")), "net", "os/exec", "internal/sys"),
		one("quiet ring", "file", "ring/a.go", file("ring", "os")+"\nvar _, _ = os.Open(\"x\")\n", "the ring uses os.Open"),

		one("no output", "log", "sem/a.go", file("sem", "log/slog"), "imports log/slog"),
		one("no output", "print", "sem/a.go", file("sem", "fmt")+"\nfunc f() { fmt.Println(1); println(2) }\n", "calls fmt.Println", "calls println"),
		one("no output", "stderr", "conn.go", file("shmwire", "os")+"\nfunc f() { g(os.Stderr) }\n", "uses os.Stderr"),

		one("no state", "counter", "ring/a.go", file("ring")+"\nvar n int\n", "variable n is neither"),
		one("no state", "lock", "ring/a.go", file("ring", "sync")+"\nvar mu = sync.Mutex{}\nvar c = &T{}\n", "variable mu is neither", "variable c is neither"),
		one("no state", "learned once", "internal/sys/a.go", file("sys", "sync")+"\nvar id = sync.OnceValue(learn)\n"),
		one("no state", "computed", "ring/a.go", file("ring")+"\nvar registry = newRegistry()\n", "variable registry is neither"),
		one("no state", "error without value", "ring/a.go", file("ring")+"\nvar errLast error\n", "variable errLast is neither"),
		one("no state", "like an error", "ring/a.go", file("ring")+"\nvar errand = newErrand()\n", "variable errand is neither"),
		one("no state", "for the race detector", "ring/a.go", "//go:build race\n\n"+file("ring")+"\nvar n int\n"),
		one("no state", "for schedules", "ring/a.go", "//go:build shmsteps\n\n"+file("ring")+"\nvar n int\n"),
		one("no state", "not for schedules", "ring/a.go", "//go:build !shmsteps\n\n"+file("ring")+"\nvar n int\n", "variable n"),
		one("no state", "not only for the race detector", "ring/a.go", "//go:build race || linux\n\n"+file("ring")+"\nvar n int\n", "variable n"),
		{"no state", "table written elsewhere", map[string]string{
			"ring/a.go":         file("ring") + "\nvar a, b, c, d, e = T{}, T{}, T{}, T{}, T{}\nvar ok = T{}\n",
			"ring/b.go":         file("ring") + "\nfunc f() { a[1] = 2; b.x++; g(&c); delete(d, 1); ok := 1; _ = ok }\n",
			"ring/open_test.go": file("ring") + "\nfunc h() { (e) = T{} }\n",
			"sem/b.go":          file("sem") + "\nfunc f() { ok = 1 }\n",
		}, []string{"variable a is written", "b is", "c is", "d is", "e is"}},

		one("no init", "init", "ring/a.go", file("ring")+"\nfunc init() {}\n", "ring/a.go:6: init function"),
		one("no init", "method of that name", "ring/a.go", file("ring")+"\nfunc (t T) init() {}\n"),

		one("package comments", "none", "sem/sem.go", file("sem"), "sem: no file"),
		one("package comments", "only in a test", "internal/sys/doc.go", "", "internal/sys: no file"),

		one("doc comments", "function", "ring/a.go", file("ring")+"\nfunc F() {}\n", "F has no doc comment"),
		one("doc comments", "methods", "ring/a.go", file("ring")+"\nfunc (r *R[T]) M() {}\nfunc (r R[T, U]) N() {}\n", "M has", "N has"),
		one("doc comments", "type", "ring/a.go", file("ring")+"\ntype T struct{}\n", "T has no doc comment"),
		one("doc comments", "values", "ring/a.go", file("ring")+"\nconst (\n\tA = 1\n\tB = 2 // is two\n\tc = 3\n)\nvar ErrX = 1\n", "A has", "ErrX has"),
		one("doc comments", "field", "ring/a.go", file("ring")+"\n// T is.\ntype T struct {\n\t// A is.\n\tA int\n\n\tB int\n\tc int\n}\n", "T.B has no comment"),
		one("doc comments", "interface", "ring/a.go", file("ring")+"\n// I is.\ntype I interface {\n\tM()\n}\n", "I.M has no comment"),
		one("doc comments", "field inside the house", "internal/sys/a.go", file("sys")+"\n// T is.\ntype T struct {\n\tA int\n}\n"),
		one("doc comments", "unexported type", "ring/a.go", file("ring")+"\nfunc (r *r) M() {}\n"),

		{"no leftovers", "everywhere", map[string]string{
			"ring/a.go":    "// " + leftover + ": later\n" + file("ring"),
			"ring/a.s":     "\n// F" + "IXME\n",
			".ci/run":      "# " + leftover + "\n",
			"CHANGELOG.md": "one " + leftover + "\n",
			"DESIGN.md":    leftover + "S are no leftovers\n",
		}, []string{".ci/run:1", "CHANGELOG.md:1", "ring/a.go:1", "ring/a.s:2: F"}},

		one("no sleeping tests", "test", "ring/a_test.go", file("ring_test", "time")+"\nfunc f() { "+sleeper+"(1) }\n", "ring/a_test.go:7: sleeps"),
		one("no sleeping tests", "no test", "sem/a.go", file("sem", "time")+"\nfunc f() { "+sleeper+"(1) }\n"),

		one("readme", "none", "README.md", "", "does not exist"),
		one("readme", "long", "README.md", goodReadme+strings.Repeat("\n", maxReadmeLines), "lines, want at most 150"),
		one("readme", "no quick start", "README.md", "# shmwire\n```\n"+quickStart+"```\n", "no section"),
		one("readme", "block of another section", "README.md", "## Quick start\n\nSoon.\n\n## Next\n```\n"+quickStart+"```\n", "first fenced block"),
		one("readme", "three commands", "README.md", "## Quick start\n\n```\ngo version\n"+quickStart+"```\n", `is "go version\ngo run`),
		one("readme", "not the first block", "README.md", "## Quick start\n```\nx\n```\n```\n"+quickStart+"```\n", `is "x\n"`),
		one("readme", "block never closed", "README.md", "## Quick start\n```\n"+quickStart, "first fenced block"),
	}
}

func TestGoodHouse(t *testing.T) {
	h := build(t, good())
	for _, r := range rules() {
		assert.Empty(t, r.check(h), r.name)
	}
}

func TestRulesFindWhatIsBroken(t *testing.T) {
	byName := map[string]rule{}
	for _, r := range rules() {
		assert.NotEmpty(t, r.why, r.name)
		byName[r.name] = r
	}
	tried := map[string]bool{}
	for _, tt := range brokenHouses() {
		t.Run(tt.rule+"/"+tt.name, func(t *testing.T) {
			r, ok := byName[tt.rule]
			require.True(t, ok, "no such rule")
			tried[tt.rule] = tried[tt.rule] || len(tt.found) > 0
			files := good()
			for path, text := range tt.files {
				files[path] = text
				if text == "" {
					delete(files, path)
				}
			}
			found := r.check(build(t, files))
			require.Len(t, found, len(tt.found), "%q", found)
			for i, want := range tt.found {
				assert.Contains(t, found[i], want)
			}
		})
	}
	for name := range byName {
		assert.True(t, tried[name], "rule %q is never seen to find anything", name)
	}
}

func build(t *testing.T, files map[string]string) *house {
	t.Helper()
	tree := fstest.MapFS{}
	for path, text := range files {
		tree[path] = &fstest.MapFile{Data: []byte(text)}
	}
	h, err := load(tree)
	require.NoError(t, err)
	return h
}
