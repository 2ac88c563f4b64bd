package shmtest_test

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"strconv"
	"testing"

	"github.com/shmwire/shmwire/internal/shmtest"
)

func TestMain(m *testing.M) {
	roles := map[string]shmtest.Role{
		"echo":   echo,
		"status": status,
		"deaf":   deaf,
		"files":  files,
		"chatty": chatty,
		"silent": silent,
	}
	maps.Copy(roles, systemRoles())
	shmtest.Main(m, roles)
}

// echo writes its arguments and then every line that it reads.
func echo(args []string) int {
	fmt.Println(args)
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		fmt.Println(in.Text())
	}
	return 0
}

// status returns its argument.
func status(args []string) int {
	n, err := strconv.Atoi(args[0])
	if err != nil {
		return 1
	}
	return n
}

// deaf ignores every signal that can be ignored, and its standard input.
func deaf([]string) int {
	signal.Ignore()
	fmt.Println("ready")
	select {}
}

// files copies what descriptor 3 has to descriptor 4.
func files([]string) int {
	from, to := os.NewFile(3, "from"), os.NewFile(4, "to")
	if _, err := io.Copy(to, from); err != nil {
		return 1
	}
	return 0
}

// chatty writes more than any pipe holds.
func chatty([]string) int {
	for i := range 100_000 {
		fmt.Println("line", i)
	}
	return 0
}

// silent says nothing and stays.
func silent([]string) int { select {} }
