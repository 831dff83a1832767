#!/bin/bash
# What checkers and profilers say: `bash .gpu/run2.sh`, after run.sh, in at most eight minutes. A
# tool that is not on the machine is named as missing; its step ends with 127.
PAGE=checks
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

page() { "$PY" -P "$ROOT/tests/benchmarks/gpu_kit/checks_page.py" "$OUT"; }
trap 'page; tidy' EXIT
trap 'exit 1' INT TERM HUP

LAUNCHES="$ROOT/tests/benchmarks/gpu_kit/few_launches.py"
SECTIONS="SpeedOfLight ComputeWorkloadAnalysis WarpStateStats SchedulerStats MemoryWorkloadAnalysis"
SECTIONS+=" LaunchStats Occupancy"
PIPES="alu fma fmaheavy fp64"
METRICS=smsp__inst_executed.sum,smsp__cycles_active.avg
METRICS+=,smsp__average_warps_issue_stalled_no_instruction_per_issue_active.ratio
for pipe in $PIPES; do
	METRICS+=,smsp__inst_executed_pipe_$pipe.sum
	METRICS+=,smsp__inst_executed_pipe_$pipe.avg.pct_of_peak_sustained_active
done

present() {
	command -v "$1" >/dev/null || { echo "$1 is not on this machine"; return 127; }
}
check() {
	present compute-sanitizer || return
	compute-sanitizer --tool "$1" --error-exitcode 9 "$PY" -P "$LAUNCHES"
}
# The clocks are left alone. The first launch compiles, the second is profiled.
profile() {
	present ncu || return
	# shellcheck disable=SC2086
	ncu --clock-control none -k compute_texts --launch-skip 1 -c 1 \
		$(printf -- '--section %s ' $SECTIONS) --metrics "$METRICS" "$PY" -P "$LAUNCHES" "$@"
}
timeline() {
	present nsys || return
	nsys profile --force-overwrite true --stats true --output "$SITE/timeline" \
		"$PY" -P "$LAUNCHES" 100 2000000
}

export -f unpack present check profile timeline
export LAUNCHES SECTIONS METRICS

# Limit in seconds and command. The limits add up to KIT_SECONDS.
FIRST=(
	"30 unpack wheels" "70 check memcheck" "70 check racecheck" "70 check initcheck"
	"70 check synccheck" "70 profile 100 2000000" "60 profile 5000 100000" "40 timeline"
)
for one in "${FIRST[@]}"; do
	read -r limit what <<<"$one"
	step "$limit" "$what" bash -c "$what"
done
echo "the page: $OUT/checks.md"
