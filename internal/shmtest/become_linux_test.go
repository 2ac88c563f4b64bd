package shmtest_test

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/shmwire/shmwire/internal/shmtest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func systemRoles() map[string]shmtest.Role { return map[string]shmtest.Role{"other user": otherUser} }

// otherUser becomes the user that it is given, says whose its threads are, and then repeats a line.
func otherUser(args []string) int {
	uid, err := strconv.Atoi(args[0])
	if err == nil {
		err = shmtest.Become(uid)
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println(os.Getpid(), strings.Join(owners(), " "))
	in := bufio.NewScanner(os.Stdin)
	in.Scan()
	fmt.Println(in.Text())
	return 0
}

// owners returns whose the threads of this process are, each user and group and all other groups once.
func owners() (all []string) {
	files, _ := filepath.Glob("/proc/self/task/*/status")
	for _, file := range files {
		text, _ := os.ReadFile(file)
		for line := range strings.Lines(string(text)) {
			name, values, _ := strings.Cut(line, ":")
			if slices.Contains([]string{"Uid", "Gid", "Groups"}, name) {
				all = append(all, name+strings.Join(strings.Fields(values), ","))
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func TestBecome(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can become another user")
	}
	child := shmtest.Child(t, "other user", "54321")
	const user = "54321,54321,54321,54321"
	require.Equal(t, fmt.Sprintf("%d Gid%s Groups Uid%s", child.PID(), user, user), child.Line())
	child.Send("still there")
	assert.Equal(t, "still there", child.Line(), "the parent's lines reach the program that was executed")
	assert.Zero(t, child.Wait())
}
