"""The runner behind perf/bench.sh: sets a cluster up on this machine, measures, compares, reports."""
