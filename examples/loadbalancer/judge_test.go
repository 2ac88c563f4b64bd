package main

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// at returns a moment; the SIGKILL of the tests lasts from 100 to 110.
func at(ms int) time.Time { return time.UnixMilli(int64(1_000_000 + ms)) }

func sigkill() killing { return killing{victim: "app-1", sent: at(100), gone: at(110)} }

func TestJudgeExcusesOnlyPostsInFlightOnTheKilledServer(t *testing.T) {
	inFlight := failure{
		method: http.MethodPost, path: "/echo", backend: "app-1", status: http.StatusBadGateway,
		start: at(90), end: at(120), err: errors.New("app-1: EOF"),
	}
	tests := []struct {
		name   string
		change func(f *failure, k *killing)
		want   string // "" = excused
	}{
		{"in flight", func(*failure, *killing) {}, ""},
		{"begins while the server dies", func(f *failure, _ *killing) { f.start = at(109) }, ""},
		{"fails while the server dies", func(f *failure, _ *killing) { f.end = at(101) }, ""},
		{"before", func(f *failure, _ *killing) { f.end = at(99) }, "it was over 1ms before the SIGKILL"},
		{"after", func(f *failure, _ *killing) { f.start = at(112) }, "it began 2ms after the server was gone"},
		{"other server", func(f *failure, _ *killing) { f.backend = "app-2" }, "only app-1 was killed"},
		{"unknown server", func(f *failure, _ *killing) { f.backend = "" }, "only app-1 was killed"},
		{"GET", func(f *failure, _ *killing) { f.method = http.MethodGet }, "it must be retried on the other server"},
		{"other status", func(f *failure, _ *killing) { f.status = http.StatusInternalServerError }, "a wrong answer"},
		{"wrong body", func(f *failure, _ *killing) { f.status = http.StatusOK }, "a wrong answer"},
		{"no answer", func(f *failure, _ *killing) { f.status = 0 }, "the balancer must answer"},
		{"nobody killed", func(_ *failure, k *killing) { *k = killing{} }, "no server was killed"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f, k := inFlight, sigkill()
			tt.change(&f, &k)
			assert.Equal(t, tt.want, f.judge(k))
		})
	}
}

func TestJudgeNamesWhatIsWrong(t *testing.T) {
	bad := failure{
		method: http.MethodGet, path: "/page/7", backend: "app-2", status: http.StatusBadGateway,
		start: at(90), end: at(120), err: errors.New("app-2: EOF"),
	}
	good := bad
	good.method, good.path, good.backend = http.MethodPost, "/echo", "app-1"

	_, err := tally{failures: []failure{good, bad}}.judge(sigkill())
	assert.EqualError(t, err, "GET /page/7: 502 Bad Gateway from app-2: app-2: EOF: it must be retried on the other server")

	_, err = tally{failures: []failure{bad, bad, bad, bad, bad}}.judge(sigkill())
	assert.ErrorContains(t, err, "; and 2 more wrong answers")

	seen := map[string]time.Time{"app-1": at(95), "app-2": at(200)}
	excused, err := tally{failures: []failure{good, good}, latest: seen}.judge(sigkill())
	require.NoError(t, err)
	assert.Equal(t, 2, excused)
}

func TestWitnessWantsAKillThatMattered(t *testing.T) {
	tests := []struct {
		name   string
		kill   killing
		latest map[string]time.Time
		want   string
	}{
		{"good", sigkill(), map[string]time.Time{"app-1": at(99), "app-2": at(111)}, ""},
		{"no kill", killing{}, map[string]time.Time{"app-1": at(99), "app-2": at(111)}, "no server was killed"},
		{"victim idle", sigkill(), map[string]time.Time{"app-2": at(111)}, "app-1 was killed before it answered anything"},
		{"survivor idle", sigkill(), map[string]time.Time{"app-1": at(99)}, "nobody answered after app-1 was killed"},
		{"survivor stuck", sigkill(), map[string]time.Time{"app-1": at(99), "app-2": at(109)}, "nobody answered after app-1 was killed"},
		{"ghost", sigkill(), map[string]time.Time{"app-1": at(113), "app-2": at(113)}, "app-1 answered a request that began 3ms after it was gone"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := tally{latest: tt.latest}.witness(tt.kill)
			if tt.want == "" {
				assert.NoError(t, err)
				return
			}
			assert.EqualError(t, err, tt.want)
		})
	}
}
