package main

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// judge returns how many failures the kill excuses, and an error if there are others or if the traffic proves nothing.
func (t tally) judge(k killing) (excused int, err error) {
	var wrong []string
	for _, f := range t.failures {
		if verdict := f.judge(k); verdict != "" {
			wrong = append(wrong, fmt.Sprintf("%v: %s", f, verdict))
		}
	}
	const shown = 3
	if len(wrong) > shown {
		wrong = append(wrong[:shown], fmt.Sprintf("and %d more wrong answers", len(wrong)-shown))
	}
	if len(wrong) > 0 {
		return 0, errors.New(strings.Join(wrong, "; "))
	}
	return len(t.failures), t.witness(k)
}

// judge returns "" if the kill excuses the failure, else why not. It excuses one thing: 502 for a POST that was in
// flight on the killed server at the SIGKILL. The balancer is not asked.
func (f failure) judge(k killing) string {
	switch {
	case f.status == 0:
		return "the balancer must answer"
	case f.status != http.StatusBadGateway:
		return "a wrong answer"
	case f.method != http.MethodPost:
		return "it must be retried on the other server"
	case k.victim == "":
		return "no server was killed"
	case f.backend != k.victim:
		return fmt.Sprintf("only %s was killed", k.victim)
	case f.end.Before(k.sent):
		return fmt.Sprintf("it was over %v before the SIGKILL", k.sent.Sub(f.end).Round(time.Microsecond))
	case f.start.After(k.gone):
		return fmt.Sprintf("it began %v after the server was gone", f.start.Sub(k.gone).Round(time.Microsecond))
	}
	return ""
}

func (f failure) String() string {
	var s strings.Builder
	fmt.Fprintf(&s, "%s %s", f.method, f.path)
	if f.status != 0 {
		fmt.Fprintf(&s, ": %d %s", f.status, http.StatusText(f.status))
	}
	if f.backend != "" {
		fmt.Fprintf(&s, " from %s", f.backend)
	}
	fmt.Fprintf(&s, ": %v", f.err)
	return s.String()
}

// witness returns an error unless the traffic has seen what it is for: a server that answered is killed, and another
// goes on.
func (t tally) witness(k killing) error {
	if k.victim == "" {
		return errors.New("no server was killed")
	}
	last, served := t.latest[k.victim]
	if !served {
		return fmt.Errorf("%s was killed before it answered anything", k.victim)
	}
	if last.After(k.gone) {
		return fmt.Errorf("%s answered a request that began %v after it was gone", k.victim, last.Sub(k.gone))
	}
	for backend, last := range t.latest {
		if backend != k.victim && last.After(k.gone) {
			return nil
		}
	}
	return fmt.Errorf("nobody answered after %s was killed", k.victim)
}
