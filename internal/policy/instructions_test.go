package policy_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// instruction is a line of go tool objdump.
type instruction struct {
	file string // that it was compiled from
	name string
	text string // the whole line
}

// goCommand runs the go command for linux and an architecture, as an importer's build would, and returns its output.
func goCommand(t *testing.T, goarch string, args ...string) string {
	t.Helper()
	cmd := exec.Command("go", args...)
	cmd.Dir = moduleDir(t)
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH="+goarch, "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	require.NoError(t, err, "go %s", strings.Join(args, " "))
	return string(out)
}

// disassemble returns the instructions of the functions in a program or archive whose names match a pattern.
func disassemble(t *testing.T, file, pattern string) (list []instruction) {
	t.Helper()
	cmd := exec.Command("go", "tool", "objdump", "-s", pattern, file)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	require.NoError(t, err)
	for line := range strings.Lines(string(out)) {
		// file.go:12   0x1234   488918   MOVQ BX, 0(AX)
		f := strings.Fields(line)
		if len(f) < 4 || f[0] == "TEXT" {
			continue
		}
		source, _, _ := strings.Cut(f[0], ":")
		list = append(list, instruction{source, f[3], line})
	}
	return list
}

func names(list []instruction) (all []string) {
	for _, i := range list {
		all = append(all, i.name)
	}
	return all
}

// stores are the instructions that the comments of internal/mem promise: a release store as it stands, and what remains of
// a plain one where it is used. Nothing with a lock, an exchange or a barrier is among them.
var stores = map[string]struct {
	release []string
	plain   string
}{
	"amd64": {[]string{"MOVQ", "MOVQ", "MOVQ", "RET"}, "MOVQ"}, // two arguments, the store
	"arm64": {[]string{"MOVD", "MOVD", "STLR", "RET"}, "MOVD"},
}

// A store that is to cost nothing has no lock in it, and one that is to publish on arm64 is a store-release. That is the
// whole point of internal/mem, and a compiler or an edit could take it away without any other test noticing.
func TestStoresAreTheInstructionsPromised(t *testing.T) {
	for goarch, want := range stores {
		t.Run(goarch, func(t *testing.T) {
			dir := t.TempDir()
			program := filepath.Join(dir, "mem.test")
			goCommand(t, goarch, "test", "-c", "-o", program, "./internal/mem")
			release := disassemble(t, program, `^github.com/shmwire/shmwire/internal/mem\.StoreRelease64\.abi0$`)
			assert.Equal(t, want.release, withoutPadding(names(release)), "StoreRelease64")

			archive := filepath.Join(dir, "ring.a")
			goCommand(t, goarch, "build", "-o", archive, "./ring")
			plain := inlined(disassemble(t, archive, `ring\.\(\*Producer\)`), "store_plain_unsafe.go")
			require.NotEmpty(t, plain, "StorePlain64 is not inlined in the producer")
			for _, i := range plain {
				assert.Equal(t, want.plain, i.name, i.text)
			}
			for _, i := range disassemble(t, archive, `ring\.`) {
				assert.NotContains(t, i.text, "mem.StorePlain64", "called, not inlined")
			}
		})
	}
}

// The methods of package sync/atomic are single instructions, but only in packages that import it themselves: elsewhere,
// where a word has its type by another name, the compiler makes a call of each access, which doubles what a message costs.
func TestSharedWordsAreNotReachedByCalls(t *testing.T) {
	for _, pkg := range []string{".", "./ring", "./sem", "./shmseg", "./fallback"} {
		archive := filepath.Join(t.TempDir(), "package.a")
		goCommand(t, "amd64", "build", "-o", archive, pkg)
		code := disassemble(t, archive, "shmwire/shmwire")
		require.NotEmpty(t, code, pkg)
		for _, i := range code {
			assert.NotContains(t, i.text, "sync/atomic.(*Uint", pkg)
		}
	}
}

// inlined returns the instructions that come from a file.
func inlined(list []instruction, file string) (found []instruction) {
	for _, i := range list {
		if i.file == file {
			found = append(found, i)
		}
	}
	return found
}

// withoutPadding drops what fills the space up to the next function.
func withoutPadding(names []string) []string {
	return slices.DeleteFunc(names, func(name string) bool { return name == "?" || name == "INT" || name == "NOPL" || name == "NOOP" })
}

// Where 64-bit atomics are locks of the process, memory cannot be shared between processes: the build for such a
// machine must know it.
func TestArchitecturesWithoutSharedWordsAreKnown(t *testing.T) {
	for _, tt := range []struct {
		name, goarch, env string
		shared            bool
	}{
		{"amd64", "amd64", "GOAMD64=v1", true},
		{"386", "386", "GO386=sse2", true},
		{"arm 7", "arm", "GOARM=7", true},
		{"arm 6", "arm", "GOARM=6", false},
		{"arm 5", "arm", "GOARM=5", false},
		{"mips", "mips", "GOMIPS=hardfloat", false},
		{"mipsle", "mipsle", "GOMIPS=softfloat", false},
		{"mips64", "mips64", "GOMIPS64=hardfloat", true},
		{"riscv64", "riscv64", "GORISCV64=rva20u64", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			name, value, _ := strings.Cut(tt.env, "=")
			t.Setenv(name, value)
			files := strings.Fields(goCommand(t, tt.goarch, "list", "-f", "{{range .GoFiles}}{{.}} {{end}}", "./shmseg"))
			assert.Equal(t, tt.shared, slices.Contains(files, "words_shared.go"))
			assert.Equal(t, !tt.shared, slices.Contains(files, "words_local.go"))
		})
	}
}
