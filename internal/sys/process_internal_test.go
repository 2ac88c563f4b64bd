package sys

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestParseProcess(t *testing.T) {
	with := func(old, new string) string { return strings.Replace(statAfterName, old, new, 1) }
	for _, tt := range []struct {
		name, rest string
		want       Process
	}{
		{"running", statAfterName, Process{Start: 4711}},
		{"zombie", with(" R ", " Z "), Process{Start: 4711, Ended: true}},
		{"dead", with(" R ", " X "), Process{Start: 4711, Ended: true}},
		{"zombie with living threads", strings.Replace(with(" R ", " Z "), " 20 0 1 0 4711", " 20 0 3 0 4711", 1), Process{Start: 4711}},
		{"kernel thread", with(" 4194304 ", " 2129984 "), Process{Start: 4711, Kernel: true}},
	} {
		for _, name := range []string{"cat", "a b", ") Z 1 2", ""} {
			got, err := parseProcess([]byte("17960 (" + name + ")" + tt.rest))
			require.NoError(t, err, tt.name)
			assert.Equal(t, tt.want, got, tt.name)
		}
	}
	for _, text := range []string{"", "17960 cat R 1", "17960 (cat)", "17960 (cat)" + strings.Split(statAfterName, " 4711")[0]} {
		_, err := parseProcess([]byte(text))
		assert.Error(t, err, "%q", text)
	}
}

func TestParseBootTime(t *testing.T) {
	got, err := parseBootTime([]byte("cpu  1 2 3\nbtime 1700000000\nprocesses 7\n"))
	require.NoError(t, err)
	assert.Equal(t, time.Unix(1700000000, 0).UTC(), got)
	for _, text := range []string{"", "cpu 1\n", "btime \n", "btime x\n"} {
		_, err := parseBootTime([]byte(text))
		assert.Error(t, err, "%q", text)
	}
}
