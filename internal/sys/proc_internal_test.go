package sys

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// statAfterName is /proc/PID/stat behind the command name, from field 3 on, with the start time 4711.
const statAfterName = " R 17930 17930 13496 0 -1 4194304 102 0 0 0 0 0 0 0 20 0 1 0 4711 3133440 394\n"

func TestParseStartTime(t *testing.T) {
	for _, name := range []string{"cat", "a b", ") R 1 2", "((", "", "x)\n1 2 3"} {
		start, err := parseStartTime([]byte("17960 (" + name + ")" + statAfterName))
		require.NoError(t, err, "%q", name)
		assert.Equal(t, uint64(4711), start, "%q", name)
	}
}

func TestParseStartTimeRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":        "",
		"no name":        "17960 cat R 1 2 3",
		"nothing behind": "17960 (cat)",
		"too short":      "17960 (cat)" + strings.Split(statAfterName, " 4711")[0],
		"not a number":   "17960 (cat)" + strings.Replace(statAfterName, "4711", "-1", 1),
	} {
		_, err := parseStartTime([]byte(text))
		assert.Error(t, err, name)
	}
}

func TestParseBootID(t *testing.T) {
	id, err := parseBootID([]byte("07b3911d-5a13-47fd-8cf2-a94cff017114\n"))
	require.NoError(t, err)
	want := [16]byte{0x07, 0xb3, 0x91, 0x1d, 0x5a, 0x13, 0x47, 0xfd, 0x8c, 0xf2, 0xa9, 0x4c, 0xff, 1, 0x71, 0x14}
	assert.Equal(t, want, id)
	for _, text := range []string{
		"", "07b3911d", "07b3911d-5a13-47fd-8cf2-a94cff0171147", "07b3911d-5a13-47fd-8cf2-a94cff01711g",
		"07b3911d-5a13-47fd-8cf2-a94cff0171140000",
	} {
		_, err := parseBootID([]byte(text))
		assert.Error(t, err, "%q", text)
	}
}

func TestParseNamespace(t *testing.T) {
	n, err := parseNamespace("pid:[4026531836]")
	require.NoError(t, err)
	assert.Equal(t, uint64(4026531836), n)
	for _, link := range []string{"", "pid:[", "pid:[]", "pid:[-1]", "mnt:[1]", "pid:[1", "pid:[x]"} {
		_, err := parseNamespace(link)
		assert.Error(t, err, "%q", link)
	}
}
