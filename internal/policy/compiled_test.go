package policy_test

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// compiled is what go list says of a package that is compiled into something.
type compiled struct {
	ImportPath string
	Standard   bool
	Module     *struct{ Path string }
}

// listCompiled returns pkg and all that it needs when built for a system without cgo.
func listCompiled(t *testing.T, goos, pkg string) []compiled {
	t.Helper()
	cmd := exec.Command("go", "list", "-e", "-deps", "-json=ImportPath,Standard,Module", pkg)
	cmd.Dir = moduleDir(t)
	cmd.Env = append(os.Environ(), "GOOS="+goos, "GOARCH=amd64", "CGO_ENABLED=0")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	require.NoError(t, err)
	var list []compiled
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var c compiled
		err := dec.Decode(&c)
		if errors.Is(err, io.EOF) {
			return list
		}
		require.NoError(t, err)
		list = append(list, c)
	}
}

// foreignModules returns what does not belong to the module or to the two that its importers compile with it.
func foreignModules(list []compiled) (found []string) {
	ours := []string{modulePath, "golang.org/x/sys", "github.com/edsrzf/mmap-go"}
	for _, c := range list {
		switch {
		case c.Standard:
		case c.Module == nil:
			found = append(found, c.ImportPath+" of no module")
		case !slices.Contains(ours, c.Module.Path):
			found = append(found, c.ImportPath+" of "+c.Module.Path)
		}
	}
	return found
}

// unwanted returns which packages of list are named in, or lie below, names.
func unwanted(list []compiled, names ...string) (found []string) {
	for _, c := range list {
		if slices.ContainsFunc(names, func(name string) bool { return under(c.ImportPath, name) }) {
			found = append(found, c.ImportPath)
		}
	}
	return found
}

// An importer of the module compiles x/sys and mmap-go with it and nothing else: every further module is one more that
// a user must trust and keep up to date. Nor does the module bring test flags into a program, and a ring alone neither
// opens nor calls anything, through whatever it imports.
func TestWhatAnImporterCompiles(t *testing.T) {
	for _, goos := range []string{"linux", "darwin", "windows", "freebsd"} {
		t.Run(goos, func(t *testing.T) {
			t.Parallel()
			module := listCompiled(t, goos, ".")
			assert.Equal(t, modulePath, module[len(module)-1].ImportPath)
			assert.Empty(t, foreignModules(module))
			assert.Empty(t, unwanted(module, "testing", "flag", "log", modulePath+"/internal/shmtest"))

			ring := listCompiled(t, goos, "./ring")
			assert.Equal(t, modulePath+"/ring", ring[len(ring)-1].ImportPath)
			assert.Empty(t, unwanted(ring, "net", "os/exec", "golang.org/x/sys", modulePath+"/internal/sys"))
		})
	}
}

func TestForeignModulesAreSeen(t *testing.T) {
	module := func(path string) *struct{ Path string } { return &struct{ Path string }{path} }
	list := []compiled{
		{ImportPath: "fmt", Standard: true},
		{ImportPath: modulePath + "/ring", Module: module(modulePath)},
		{ImportPath: "golang.org/x/sys/unix", Module: module("golang.org/x/sys")},
		{ImportPath: "github.com/edsrzf/mmap-go", Module: module("github.com/edsrzf/mmap-go")},
	}
	assert.Empty(t, foreignModules(list))
	assert.Empty(t, unwanted(list, "net", "golang.org/x/sy"))
	list = append(list, compiled{ImportPath: "golang.org/x/net/nettest", Module: module("golang.org/x/net")}, compiled{ImportPath: "nowhere"})
	assert.Equal(t, []string{"golang.org/x/net/nettest of golang.org/x/net", "nowhere of no module"}, foreignModules(list))
	assert.Equal(t, []string{"golang.org/x/sys/unix"}, unwanted(list, "net", "golang.org/x/sys"))
}
