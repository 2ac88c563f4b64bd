# Turns the output of the benchmark into a Markdown table:
#
#	go test -run '^$' -bench . ./bench | awk -f bench/table.awk
#
# Ratios are shown as median (min to max). A row that had no valid slice is marked with *.

function short(v) { return v == "" ? "" : v + 0 >= 100 ? sprintf("%.0f", v) : sprintf("%.3g", v) }
function span(name) {
	if (!((name) in m)) return ""
	return short(m[name]) " (" short(m[name "-min"]) " to " short(m[name "-max"]) ")"
}
BEGIN { ratios = split("x-unix x-pingpong x-cring x-cslot x-cbatch x-cinplace x-ccas x-ccasbatch x-cfixed", ratio) }
/^[a-z][a-z-]*: / { head = head "- " $0 "\n"; next }
/^Benchmark/ && NF > 3 {
	split("", m)
	for (i = 3; i < NF; i += 2) m[$(i + 1)] = $i
	name = $1
	sub(/^Benchmark/, "", name)
	sub(/-[0-9]+$/, "", name)
	if (("slices" in m) && m["slices"] == 0) name = name " *"
	line = "| " name " | " short(m["p50-ns"]) " | " short(m["p99-ns"]) " | " short(m["msgs/s"]) " | " \
		short(m["allocs-both/op"]) " | " short(m["probe-ns"]) " |"
	for (i = 1; i <= ratios; i++) line = line " " span(ratio[i]) " |"
	row[++rows] = line
}
END {
	if (head != "") print head
	line = "| row | p50-ns | p99-ns | msgs/s | allocs-both/op | probe-ns |"
	rule = "|---|---|---|---|---|---|"
	for (i = 1; i <= ratios; i++) {
		line = line " " ratio[i] " |"
		rule = rule "---|"
	}
	print line
	print rule
	for (i = 1; i <= rows; i++) print row[i]
}
