package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shmwire/shmwire/internal/shmtest"
)

func TestMain(m *testing.M) {
	// The example executes itself for its servers; in a test that is the test binary.
	if len(os.Args) > 1 && os.Args[1] == serverRole {
		os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
	}
	shmtest.Main(m, map[string]shmtest.Role{
		"loadbalancer": func(args []string) int { return run(args, os.Stdout, os.Stderr) },
	})
}

// socketsHere makes dir the place for the example's sockets and returns it.
func socketsHere(t *testing.T) string {
	t.Helper()
	dir := filepath.Dir(shmtest.SocketPath(t))
	t.Setenv("TMPDIR", dir)
	return dir
}

func TestRunComparesTheTransports(t *testing.T) {
	dir := socketsHere(t)
	var stdout, stderr bytes.Buffer
	status := run([]string{"-duration", "1s"}, &stdout, &stderr)
	require.Equal(t, exitOK, status, "stdout: %s\nstderr: %s", &stdout, &stderr)
	assert.Empty(t, stderr.String())

	rows := tableRows(t, stdout.String())
	require.Len(t, rows, 3, "stdout: %s", &stdout)
	for i, tr := range transports() {
		r := rows[i]
		assert.Equal(t, tr.name, r.transport)
		if tr.want != "" {
			assert.Equal(t, tr.want, r.used, tr.name)
		}
		assert.Greater(t, r.requests, 0, tr.name)
		assert.LessOrEqual(t, r.errors, 8, "%s: more 502s than clients", tr.name)
		assert.Greater(t, r.p50, 0.0, tr.name)
		assert.GreaterOrEqual(t, r.p99, r.p50, tr.name)
		assert.Greater(t, r.perSecond, 0.0, tr.name)
	}
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Empty(t, left, "sockets left behind")
}

type printedRow struct {
	transport, used           string
	requests, errors, retries int
	p50, p99, perSecond       float64
}

// tableRows reads the table back. A row that does not parse is not one.
func tableRows(t *testing.T, out string) []printedRow {
	t.Helper()
	assert.Regexp(t, `TRANSPORT +USED +REQUESTS +ERRORS +RETRIES +P50 +P99 +REQUESTS/S`, out)
	var rows []printedRow
	for line := range strings.Lines(out) {
		var r printedRow
		n, _ := fmt.Sscanf(line, "%s%s%d%d%d%fms%fms%f",
			&r.transport, &r.used, &r.requests, &r.errors, &r.retries, &r.p50, &r.p99, &r.perSecond)
		if n == 8 {
			rows = append(rows, r)
		}
	}
	return rows
}

func TestRunNoticesAWrongByte(t *testing.T) {
	tests := []struct{ corrupt, want string }{
		{"page", `^loadbalancer: shmwire: GET /page/\d+: 200 OK from app-[12]: byte \d+ of \d+ is 0x\w\w, want 0x\w\w: a wrong answer\b`},
		{"echo", `^loadbalancer: shmwire: POST /echo: 200 OK from app-[12]: byte 524288 of 1048576 is 0x\w\w, want 0x\w\w: a wrong answer\b`},
	}
	for _, tt := range tests {
		t.Run(tt.corrupt, func(t *testing.T) {
			dir := socketsHere(t)
			t.Setenv(corruptEnv, tt.corrupt)
			var stdout, stderr bytes.Buffer
			assert.Equal(t, exitWrong, run([]string{"-duration", "1s"}, &stdout, &stderr))
			assert.Regexp(t, tt.want, stderr.String())
			assert.NotContains(t, stdout.String(), "REQUESTS/S", "there is no table of wrong answers")
			left, err := os.ReadDir(dir)
			require.NoError(t, err)
			assert.Empty(t, left, "sockets left behind")
		})
	}
}

func TestRunRefusesBadFlags(t *testing.T) {
	tests := []struct {
		name string
		args []string
		want string
	}{
		{"no clients", []string{"-clients", "0"}, "-clients is 0, want 1 or more"},
		{"clients no number", []string{"-clients", "many"}, `invalid value "many" for flag -clients`},
		{"duration short", []string{"-duration", "99ms"}, "-duration is 99ms, want 100ms or more"},
		{"duration negative", []string{"-duration", "-5s"}, "-duration is -5s, want 100ms or more"},
		{"duration no time", []string{"-duration", "5"}, `invalid value "5" for flag -duration`},
		{"listen without port", []string{"-listen", "localhost"}, `-listen is "localhost", want host:port`},
		{"listen bad port", []string{"-listen", "localhost:70000"}, `-listen is "localhost:70000", want host:port`},
		{"unknown flag", []string{"-fast"}, "flag provided but not defined: -fast"},
		{"argument", []string{"now"}, `unexpected argument "now"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			assert.Equal(t, exitUsage, run(tt.args, &stdout, &stderr))
			assert.Contains(t, stderr.String(), tt.want)
			assert.Contains(t, stderr.String(), "Usage: loadbalancer [-duration time]")
			assert.Equal(t, 1, strings.Count(stderr.String(), "Usage:"))
			assert.Empty(t, stdout.String())
		})
	}
}

func TestRunHelps(t *testing.T) {
	var stdout, stderr bytes.Buffer
	assert.Equal(t, exitOK, run([]string{"-h"}, &stdout, &stderr))
	assert.Contains(t, stderr.String(), "Usage: loadbalancer")
}

func TestRunSaysThatAnAddressIsTaken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	var stdout, stderr bytes.Buffer
	assert.Equal(t, exitWrong, run([]string{"-listen", l.Addr().String()}, &stdout, &stderr))
	assert.Contains(t, stderr.String(), "loadbalancer: listen tcp "+l.Addr().String())
}

func TestRunServerRefusesBadFlags(t *testing.T) {
	var stdout, stderr bytes.Buffer
	assert.Equal(t, exitUsage, run([]string{serverRole, "-transport", "pigeon"}, &stdout, &stderr))
	assert.Contains(t, stderr.String(), `no transport is called "pigeon"`)
}

func TestStartChildSaysWhyTheServerDoesNotStart(t *testing.T) {
	var stderr bytes.Buffer
	addr := filepath.Join(t.TempDir(), strings.Repeat("x", 200))
	_, err := startChild("app-1", &stderr, serverRole, "-transport", "unix", "-addr", addr)
	assert.ErrorContains(t, err, "wait for app-1 to be ready")
	assert.Contains(t, stderr.String(), serverRole+" at "+addr)
}

// TestListenKeepsServing asks a balancer that has printed its table for a page, ends it by a signal that it handles, and
// finds nothing left.
func TestListenKeepsServing(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a process cannot send itself Ctrl-C there")
	}
	for _, sig := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		t.Run(sig.String(), func(t *testing.T) {
			dir := socketsHere(t)
			p := shmtest.Child(t, "loadbalancer", "-listen", "127.0.0.1:0", "-duration", "300ms", "-clients", "2")
			url, pids := serving(p)
			assert.Equal(t, string(makePages()[3]), getPage(t, url+"/page/3"))

			p.Signal(sig)
			assert.Equal(t, exitOK, p.Wait())
			for _, pid := range pids {
				assert.False(t, runs(t, pid), "server %d is left behind", pid)
			}
			left, err := os.ReadDir(dir)
			require.NoError(t, err)
			assert.Empty(t, left, "sockets left behind")
		})
	}
}

// serving reads the output up to where the balancer says that it serves, and returns where, and its servers.
func serving(p *shmtest.Process) (url string, pids []int) {
	where := regexp.MustCompile(`^serving (http://\S+)/page/0 `)
	process := regexp.MustCompile(`^app-[12] is process (\d+)$`)
	for len(pids) < 2 {
		line := p.Line()
		if m := where.FindStringSubmatch(line); m != nil {
			url = m[1]
		}
		if m := process.FindStringSubmatch(line); m != nil {
			pid, _ := strconv.Atoi(m[1]) // the pattern admits digits only
			pids = append(pids, pid)
		}
	}
	return url, pids
}

func getPage(t *testing.T, url string) string {
	t.Helper()
	web := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: requestTimeout}
	resp, err := web.Get(url)
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, http.StatusOK, resp.StatusCode)
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return string(body)
}

func TestInterruptEndsTheRun(t *testing.T) {
	needsProc(t)
	dir := socketsHere(t)
	p := shmtest.Child(t, "loadbalancer", "-duration", "10m")
	servers := serversOf(t, p.PID())
	p.Signal(os.Interrupt)
	assert.Equal(t, exitWrong, p.Wait())
	for _, pid := range servers {
		assert.False(t, runs(t, pid), "server %d is left behind", pid)
	}
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Empty(t, left, "sockets left behind")
}

func TestServersEndWithTheirParent(t *testing.T) {
	needsProc(t)
	socketsHere(t)
	p := shmtest.Child(t, "loadbalancer", "-duration", "10m")
	servers := serversOf(t, p.PID())
	p.Kill()
	shmtest.Eventually(t, "the servers of a killed balancer end", func() bool {
		return !runs(t, servers[0]) && !runs(t, servers[1])
	})
}

func needsProc(t *testing.T) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("finds the servers in /proc")
	}
}

// serversOf waits until the balancer has started both its servers and returns their process numbers.
func serversOf(t *testing.T, balancer int) []int {
	t.Helper()
	var servers []int
	shmtest.Eventually(t, "the balancer starts two servers", func() bool {
		servers = nil
		procs, err := filepath.Glob("/proc/[0-9]*")
		require.NoError(t, err)
		for _, proc := range procs {
			pid, err := strconv.Atoi(filepath.Base(proc))
			require.NoError(t, err)
			if parent, _ := procStat(pid); parent == balancer && runs(t, pid) {
				servers = append(servers, pid)
			}
		}
		return len(servers) == 2
	})
	return servers
}

// runs reports whether pid is an application server that has not ended. A zombie has: who reaps an orphan, and when, is
// not ours.
func runs(t *testing.T, pid int) bool {
	t.Helper()
	if runtime.GOOS != "linux" {
		return false
	}
	cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil || !bytes.Contains(cmdline, []byte(serverRole)) {
		return false
	}
	_, state := procStat(pid)
	return state != "" && state != "Z" && state != "X"
}

// procStat returns the parent and the state of a process, 0 and "" if it is gone.
func procStat(pid int) (parent int, state string) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, ""
	}
	// The name before the state is in parentheses and may itself contain some.
	rest := stat[bytes.LastIndexByte(stat, ')')+1:]
	if _, err := fmt.Fscan(bufio.NewReader(bytes.NewReader(rest)), &state, &parent); err != nil {
		return 0, ""
	}
	return parent, state
}

func TestPercentile(t *testing.T) {
	hundred := make([]time.Duration, 100)
	for i := range hundred {
		hundred[i] = time.Duration(i + 1)
	}
	tests := []struct {
		name   string
		sorted []time.Duration
		p      int
		want   time.Duration
	}{
		{"none", nil, 50, 0},
		{"one", hundred[:1], 99, 1},
		{"median of two", hundred[:2], 50, 1},
		{"median of three", hundred[:3], 50, 2},
		{"median", hundred, 50, 50},
		{"p99", hundred, 99, 99},
		{"p99 of ten", hundred[:10], 99, 10},
		{"all", hundred, 100, 100},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			assert.Equal(t, tt.want, percentile(tt.sorted, tt.p))
		})
	}
}

func TestDifference(t *testing.T) {
	tests := []struct{ name, got, want, text string }{
		{"equal", "page", "page", ""},
		{"both empty", "", "", ""},
		{"byte", "pagE", "page", "byte 3 of 4 is 0x45, want 0x65"},
		{"short", "pa", "page", "the body ends after 2 bytes, want 4"},
		{"long", "pages", "page", "the body is longer than 4 bytes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := difference([]byte(tt.got), []byte(tt.want))
			if tt.text == "" {
				assert.NoError(t, err)
				return
			}
			assert.EqualError(t, err, tt.text)
		})
	}
}

// TestMeasureWantsItsTransport lets a hop run over something else than was promised.
func TestMeasureWantsItsTransport(t *testing.T) {
	socketsHere(t)
	logger := log.New(io.Discard, "", 0)
	front, err := openFront("", logger)
	require.NoError(t, err)
	lab := lab{front: front, log: logger, stderr: io.Discard}
	tr := unixTransport()
	tr.want = "shm"
	tr.used = func(net.Conn) (string, string) { return "unix", "memfd is not for us" }
	_, err = lab.measure(t.Context(), tr, options{clients: 1, duration: minDuration})
	assert.EqualError(t, err, `the balancer's connections ran over "unix" (unix memfd is not for us), want "shm" alone`)
	require.NoError(t, front.close())
}
