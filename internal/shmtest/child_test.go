package shmtest_test

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/shmwire/shmwire/internal/shmtest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestChildEchoes(t *testing.T) {
	c := shmtest.Child(t, "echo", "a", "-b", "c d")
	assert.Equal(t, "[a -b c d]", c.Line())
	assert.NotEqual(t, os.Getpid(), c.PID())
	for _, line := range []string{"one", "", "three"} {
		c.Send(line)
		assert.Equal(t, line, c.Line())
	}
}

func TestProgramIsAChildToo(t *testing.T) {
	path, err := exec.LookPath("cat")
	if err != nil {
		t.Skip("no cat here:", err)
	}
	c := shmtest.Program(t, path, "-")
	c.Send("meow")
	assert.Equal(t, "meow", c.Line())
	c.CutLifeline()
	assert.Zero(t, c.Wait())
}

func TestChildStatus(t *testing.T) {
	for _, want := range []int{0, 1, 42} {
		c := shmtest.Child(t, "status", strconv.Itoa(want))
		assert.Equal(t, want, c.Wait())
		assert.Equal(t, want, c.Wait(), "asked again")
	}
}

func TestUnknownRole(t *testing.T) {
	assert.Equal(t, 2, shmtest.Child(t, "no such role").Wait())
}

func TestChildEndsWithItsLifeline(t *testing.T) {
	for _, role := range []string{"echo", "deaf"} {
		t.Run(role, func(t *testing.T) {
			c := shmtest.Child(t, role)
			c.Line()
			c.CutLifeline()
			assert.Equal(t, shmtest.OrphanStatus, c.Wait())
		})
	}
}

func TestKill(t *testing.T) {
	c := shmtest.Child(t, "deaf")
	require.Equal(t, "ready", c.Line())
	if runtime.GOOS != "windows" {
		c.Signal(os.Interrupt) // ignored, so it is the kill that ends the child
	}
	c.Kill()
	c.Kill()
	assert.Equal(t, -1, c.Wait(), "ended by a signal")
}

func TestChildFiles(t *testing.T) {
	r, w, err := os.Pipe()
	require.NoError(t, err)
	r2, w2, err := os.Pipe()
	require.NoError(t, err)
	c := shmtest.ChildFiles(t, []*os.File{r, w2}, "files")
	require.NoError(t, r.Close())
	require.NoError(t, w2.Close())

	_, err = io.WriteString(w, "through the child")
	require.NoError(t, err)
	require.NoError(t, w.Close())
	got, err := io.ReadAll(r2)
	require.NoError(t, err)
	require.NoError(t, r2.Close())
	assert.Equal(t, "through the child", string(got))
	assert.Zero(t, c.Wait())
}

func TestUnreadOutputBlocksNobody(t *testing.T) {
	c := shmtest.Child(t, "chatty")
	assert.Equal(t, "line 0", c.Line())
	assert.Equal(t, "line 1", c.Line())
	// The rest is thrown away when the test ends.
}

// runs reports whether a process of that number exists and is not a corpse.
func runs(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, state, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(state, "Z") && !strings.HasPrefix(state, "X")
}

// TestParent is the parent of TestKilledParentLeavesNoChild.
func TestParent(t *testing.T) {
	if os.Getenv("SHMTEST_PARENT") == "" {
		t.Skip("runs as a child of TestKilledParentLeavesNoChild only")
	}
	c := shmtest.Child(t, "deaf")
	fmt.Println(c.Line(), c.PID())
	select {}
}

func TestKilledParentLeavesNoChild(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("looks into /proc")
	}
	parent := shmtest.Command(t, "-test.run=^TestParent$", "-test.count=1")
	parent.Env = append(os.Environ(), "SHMTEST_PARENT=1")
	stdout, err := parent.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, parent.Start())
	var pid int
	_, err = fmt.Fscanf(stdout, "ready %d\n", &pid)
	require.NoError(t, err)
	require.True(t, runs(pid), "child before")

	require.NoError(t, parent.Process.Kill())
	require.Error(t, parent.Wait(), "killed")
	shmtest.Eventually(t, "child of a killed parent ends", func() bool { return !runs(pid) })
}

func TestFailuresNameTheChild(t *testing.T) {
	tests := []struct {
		name     string
		patience string
		role     string
		call     func(p *shmtest.Process)
		want     string
	}{
		{"line of a child that is gone", "", "status", func(p *shmtest.Process) { p.Line() }, "exit status 3; want a line"},
		{"send to a child that is gone", "", "status", func(p *shmtest.Process) { p.Wait(); p.Send("x") }, `send "x" to child "status"`},
		{"line of a silent child", "1ms", "silent", func(p *shmtest.Process) { p.Line() }, "wrote no line within 1ms"},
		{"wait for a child that stays", "1ms", "silent", func(p *shmtest.Process) { p.Wait() }, "end of child silent: nothing within 1ms"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("SHMTEST_PATIENCE", tt.patience)
			msg := failure(t, func(t testing.TB) { tt.call(shmtest.Child(t, tt.role, "3")) })
			assert.Contains(t, msg, tt.want)
			t.Setenv("SHMTEST_PATIENCE", "") // the clean-up is patient
		})
	}
}
