package policy_test

import (
	"go/ast"
	"path"
	"slices"
	"strings"
)

// floor is a folder, with what its packages may import of the module. A folder with inside covers all below it.
type floor struct {
	dir    string
	number int
	inside bool
	may    []string
}

// floors is the order of the house; "." is the root. Tests may besides import everything on the floors below their own,
// and shmtest.
func floors() []floor {
	layers := []string{"ring", "shmseg", "sem", "fallback"}
	machinery := []string{"internal/mem", "internal/sys"}
	public := append([]string{"."}, layers...)
	return []floor{
		{dir: "internal/mem", number: 1},
		{dir: "internal/sys", number: 1},
		{dir: "ring", number: 2, may: []string{"internal/mem"}},
		{dir: "shmseg", number: 2, may: machinery},
		{dir: "sem", number: 2, may: machinery},
		{dir: "fallback", number: 2, may: machinery},
		{dir: ".", number: 3, may: slices.Concat(layers, machinery)},
		{dir: "cmd", number: 4, inside: true, may: slices.Concat(public, machinery)},
		{dir: "bench", number: 4, inside: true, may: slices.Concat(public, machinery)},
		{dir: "examples", number: 4, inside: true, may: public}, // as a user could
		{dir: "internal/shmtest", number: 0},
		{dir: "internal/policy", number: 0},
	}
}

func floorOf(dir string) (floor, bool) {
	for _, f := range floors() {
		if dir == f.dir || f.inside && under(dir, f.dir) {
			return f, true
		}
	}
	return floor{}, false
}

func floorsKept(h *house) (found []string) {
	for _, file := range h.files {
		from, ok := floorOf(file.dir)
		if !ok {
			found = append(found, h.at(file.ast, "folder %s stands on no floor", file.dir))
			continue
		}
		for _, spec := range file.ast.Imports {
			p := importPath(spec)
			if !under(p, modulePath) {
				continue
			}
			to := path.Join(".", strings.TrimPrefix(p, modulePath))
			if !mayImport(from, file, to) {
				found = append(found, h.at(spec, "%s must not import %s", file.dir, to))
			}
		}
	}
	return found
}

func mayImport(from floor, file source, to string) bool {
	if slices.Contains(from.may, to) || from.inside && under(to, from.dir) {
		return true
	}
	if !file.test {
		return false
	}
	target, ok := floorOf(to)
	// The two packages of floor 1 serve each other's tests: shared words for futexes, system calls for mappings.
	lower := target.number < from.number || from.number == 1 && target.number == 1
	return to == file.dir || to == "internal/shmtest" || ok && target.number > 0 && lower
}

// outside is a package (and those below it) that only some may import.
type outside struct {
	path    string
	shipped []string // folders whose shipped files may
	tests   []string // folders whose tests may
}

// everywhere stands for all folders.
const everywhere = "*"

// outsideImports is what may be imported from other modules, and what of the standard library not by everybody.
func outsideImports() []outside {
	all := []string{everywhere}
	return []outside{
		{path: "C"},
		{path: "testing", shipped: []string{"internal/shmtest"}, tests: all},
		// A test may play the peer that does what the module never does.
		// shmtest finds out what an emulator does otherwise than the kernel, and is itself for tests only.
		{path: "syscall", shipped: []string{"internal/sys", "internal/shmtest"}, tests: all},
		{path: "golang.org/x/sys", shipped: []string{"internal/sys"}, tests: all},
		// sem's tests need two mappings of one page, and must not import shmseg for it.
		{path: "github.com/edsrzf/mmap-go", shipped: []string{"shmseg"}, tests: []string{"shmseg", "sem"}},
		// A command line with help and completion; a program's dependency, which no importer compiles.
		{path: "github.com/spf13/cobra", shipped: []string{"cmd/shmctl"}, tests: []string{"cmd/shmctl"}},
		{path: "go.uber.org/goleak", shipped: []string{"internal/shmtest"}, tests: all},
		{path: "github.com/stretchr/testify", tests: all},
		{path: "pgregory.net/rapid", tests: all},
		{path: "golang.org/x/net/nettest", tests: all},
		// Percentiles of the benchmark; what the library measures of itself are plain counters.
		{path: "github.com/HdrHistogram/hdrhistogram-go", tests: []string{"bench"}},
	}
}

func outsideImportsKept(h *house) (found []string) {
	for _, file := range h.files {
		for _, spec := range file.ast.Imports {
			p := importPath(spec)
			if p == "syscall" && namesSignalsOnly(file) {
				continue
			}
			if !mayImportOutside(file, p) {
				found = append(found, h.at(spec, "%s must not import %s", file.dir, p))
			}
		}
	}
	return found
}

func mayImportOutside(file source, p string) bool {
	if under(p, modulePath) {
		return true
	}
	for _, o := range outsideImports() {
		if !under(p, o.path) {
			continue
		}
		dirs := o.shipped
		if file.test {
			dirs = o.tests
		}
		return slices.Contains(dirs, file.dir) || slices.Contains(dirs, everywhere)
	}
	first, _, _ := strings.Cut(p, "/")
	return !strings.Contains(first, ".") // the rest of the standard library
}

// namesSignalsOnly reports whether file belongs to a program (floor 4) and takes nothing from syscall but the names of
// signals, which os does not have.
func namesSignalsOnly(file source) bool {
	if f, ok := floorOf(file.dir); !ok || f.number != 4 {
		return false
	}
	only := true
	ast.Inspect(file.ast, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok && packageOf(s) == "syscall" {
			only = only && strings.HasPrefix(s.Sel.Name, "SIG")
		}
		return true
	})
	return only
}

func unsafeInItsFiles(h *house) (found []string) {
	for _, file := range h.files {
		name := strings.TrimSuffix(strings.TrimSuffix(file.path, ".go"), "_test")
		if strings.HasSuffix(name, "_unsafe") {
			continue
		}
		for _, spec := range file.ast.Imports {
			if importPath(spec) == "unsafe" {
				found = append(found, h.at(spec, "unsafe in a file not named *_unsafe.go"))
			}
		}
	}
	return found
}
