package shmseg

import "fmt"

// ParseMapping is parseMapping with an answer that tests outside can compare.
func ParseMapping(line string) (string, bool) {
	m, ok := parseMapping(line)
	return fmt.Sprintf("%x-%x %t %d:%d %q", m.start, m.end, m.writable, m.id.dev, m.id.ino, m.path), ok
}
