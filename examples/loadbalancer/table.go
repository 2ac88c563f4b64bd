package main

import (
	"fmt"
	"io"
	"runtime"
	"slices"
	"text/tabwriter"
	"time"
)

// A row is the result for one transport.
type row struct {
	transport string
	hop       hop
	requests  int   // answered right
	errors    int   // answered 502 because of the kill
	retries   int64 // handed to the other server
	p50, p99  time.Duration
	perSecond float64
}

func newRow(name string, hop hop, latencies []time.Duration, errors int, retries int64, took time.Duration) row {
	slices.Sort(latencies)
	return row{
		transport: name, hop: hop,
		requests: len(latencies), errors: errors, retries: retries,
		p50: percentile(latencies, 50), p99: percentile(latencies, 99),
		perSecond: float64(len(latencies)) / took.Seconds(),
	}
}

// percentile returns the smallest value that at least p percent of the sorted values do not exceed, 0 if there are none.
func percentile(sorted []time.Duration, p int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	rank := (len(sorted)*p + 99) / 100
	return sorted[max(rank, 1)-1]
}

func printIntro(w io.Writer, opts options) {
	fmt.Fprintf(w, "%d clients for %v over each transport; app-1 of two servers is killed halfway (%s %s/%s, %d CPUs)\n\n",
		opts.clients, opts.duration, runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU())
}

func printTable(w io.Writer, rows []row) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "TRANSPORT\tUSED\tREQUESTS\tERRORS\tRETRIES\tP50\tP99\tREQUESTS/S\t")
	for _, r := range rows {
		fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%d\t%s\t%s\t%.0f\t\n",
			r.transport, r.hop.used, r.requests, r.errors, r.retries, millis(r.p50), millis(r.p99), r.perSecond)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(w)
	for _, r := range rows {
		if r.hop.why != "" {
			fmt.Fprintf(w, "%s: %s\n", r.transport, r.hop.why)
		}
	}
	_, err := fmt.Fprintf(w, "requests: pages of up to 64 KiB, every %dth a 1 MiB POST, every byte checked\n"+
		"errors: POSTs in flight on the killed server at its SIGKILL, answered 502\n"+
		"retries: requests that the balancer handed to the other server after a failed connection\n", postEvery)
	return err
}

func millis(d time.Duration) string {
	return fmt.Sprintf("%.2fms", float64(d)/float64(time.Millisecond))
}
