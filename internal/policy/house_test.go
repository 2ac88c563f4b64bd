package policy_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/shmwire/shmwire/internal/shmtest"
	"github.com/stretchr/testify/require"
)

func TestMain(m *testing.M) { shmtest.Main(m, nil) }

// modulePath is what every import of our own begins with.
const modulePath = "github.com/shmwire/shmwire"

// house is the module as the rules see it.
type house struct {
	fset  *token.FileSet
	files []source
	texts map[string]string // every file that people read or write, by path
}

// source is one Go file.
type source struct {
	path string // in the module, with slashes
	dir  string // "." for the root
	test bool
	ast  *ast.File
}

// thisHouse loads the module that this test belongs to.
func thisHouse(t *testing.T) *house {
	t.Helper()
	h, err := load(os.DirFS(moduleDir(t)))
	require.NoError(t, err)
	require.NotEmpty(t, h.files)
	return h
}

func moduleDir(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	require.NoError(t, err)
	for {
		mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && strings.HasPrefix(string(mod), "module "+modulePath+"\n") {
			return dir
		}
		parent := filepath.Dir(dir)
		require.NotEqual(t, dir, parent, "no go.mod of %s above the test", modulePath)
		dir = parent
	}
}

// load reads what belongs to the module at the root of tree: not what lies in hidden folders (but .ci), in testdata, or
// in modules of their own.
func load(tree fs.FS) (*house, error) {
	h := &house{fset: token.NewFileSet(), texts: map[string]string{}}
	err := fs.WalkDir(tree, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if skipped(tree, p) {
				return fs.SkipDir
			}
			return nil
		}
		return h.add(tree, p)
	})
	return h, err
}

func skipped(tree fs.FS, dir string) bool {
	name := path.Base(dir)
	if dir == "." || dir == ".ci" {
		return false
	}
	if name[0] == '.' || name[0] == '_' || name == "testdata" {
		return true
	}
	_, err := fs.Stat(tree, path.Join(dir, "go.mod"))
	return err == nil
}

func (h *house) add(tree fs.FS, p string) error {
	switch path.Ext(p) {
	case ".go", ".s", ".md", ".mod", "":
	default:
		return nil
	}
	text, err := fs.ReadFile(tree, p)
	if err != nil {
		return err
	}
	h.texts[p] = string(text)
	if path.Ext(p) != ".go" {
		return nil
	}
	// A file that does not parse is the compiler's business; what was understood of it is still checked.
	f, _ := parser.ParseFile(h.fset, p, text, parser.ParseComments|parser.SkipObjectResolution)
	if f == nil {
		return fmt.Errorf("parse %s: nothing understood", p)
	}
	h.files = append(h.files, source{path: p, dir: path.Dir(p), test: strings.HasSuffix(p, "_test.go"), ast: f})
	return nil
}

// at formats a finding.
func (h *house) at(n ast.Node, format string, args ...any) string {
	p := h.fset.Position(n.Pos())
	return fmt.Sprintf("%s:%d: %s", p.Filename, p.Line, fmt.Sprintf(format, args...))
}

// shipped returns the files that are not tests.
func (h *house) shipped() []source {
	var files []source
	for _, f := range h.files {
		if !f.test {
			files = append(files, f)
		}
	}
	return files
}

// packages returns the shipped files by folder.
func (h *house) packages() map[string][]source {
	byDir := map[string][]source{}
	for _, f := range h.shipped() {
		byDir[f.dir] = append(byDir[f.dir], f)
	}
	return byDir
}

// importPath returns the path that spec imports.
func importPath(spec *ast.ImportSpec) string {
	p, err := strconv.Unquote(spec.Path.Value)
	if err != nil {
		return spec.Path.Value
	}
	return p
}

// under reports whether p is root or lies below it.
func under(p, root string) bool { return p == root || strings.HasPrefix(p, root+"/") }
