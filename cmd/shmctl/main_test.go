package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/shmwire/shmwire/internal/shmtest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestMain(m *testing.M) { shmtest.Main(m, roles()) }

// output is what a run of shmctl came to.
type output struct {
	status         int
	stdout, stderr string
}

func shmctl(args ...string) output {
	var stdout, stderr bytes.Buffer
	status := run(context.Background(), args, &stdout, &stderr)
	return output{status, stdout.String(), stderr.String()}
}

// mustDocument runs shmctl with -o json, which must end well, and returns what it says.
func mustDocument(t testing.TB, args ...string) document {
	t.Helper()
	o := shmctl(append(args, "-o", "json")...)
	require.Equal(t, statusOK, o.status, "%s", o.stderr)
	var d document
	dec := json.NewDecoder(strings.NewReader(o.stdout))
	dec.DisallowUnknownFields()
	require.NoError(t, dec.Decode(&d))
	require.Equal(t, "shmctl/v1", d.Schema)
	return d
}

// ringNamed returns the ring of that name, which must be there.
func ringNamed(t testing.TB, d document, name string) ringDocument {
	t.Helper()
	for _, r := range d.Rings {
		if r.Name == name {
			return r
		}
	}
	require.Fail(t, "no ring "+name, "%+v", d.Rings)
	return ringDocument{}
}

// golden compares text with a file in testdata, which is written instead if SHMCTL_UPDATE is set.
func golden(t testing.TB, name, text string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if os.Getenv("SHMCTL_UPDATE") != "" {
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, string(want), text)
}

// normal replaces what differs from run to run (the process numbers as told), and the width of tables with it.
func normal(text string, replace map[string]string) string {
	for pid, who := range replace { // only where a process number stands: other numbers may be the same
		text = regexp.MustCompile(`\b`+pid+` (alive|dead|\((?:open|alive|dead))`).ReplaceAllString(text, who+" $1")
		text = strings.ReplaceAll(text, `"pid": `+pid+`,`, `"pid": "`+who+`",`)
	}
	for _, r := range [][2]string{
		{`\b[0-9a-f]{32}\b`, "HEX"},
		{`\b[0-9a-f]{12}/`, "LINK/"},
		{`\d{4}-\d\d-\d\dT[\d:.]+Z`, "TIME"},
		{`(?m)(namespace:?"?:? |_ticks": )\d+`, "${1}N"},
		{`(?m)^(  (parks|doorbell|waits|rings) +)\d+( +)\d+`, "${1}N${3}N"},
		{`("(parks|doorbell|waits|rings|processes_not_looked_into)": )\d+`, "${1}N"},
		{`("remarks": )\[[^\]]*\]`, "${1}[]"},
		{`("pid_namespace": )\d+`, "${1}N"},
		{`(\S) {2,}(\S)`, "$1  $2"},
		{` {2,}(\S)`, "  $1"},
		{` +\n`, "\n"},
	} {
		text = regexp.MustCompile(r[0]).ReplaceAllString(text, r[1])
	}
	return text
}

// linesWith returns the first line and those that contain any of the parts.
func linesWith(text string, parts ...string) string {
	lines := strings.SplitAfter(text, "\n")
	kept := lines[0]
	for _, l := range lines[1:] {
		for _, p := range parts {
			if strings.Contains(l, p) {
				kept += l
				break
			}
		}
	}
	return kept
}

func pidText(p *shmtest.Process) string { return fmt.Sprint(p.PID()) }
