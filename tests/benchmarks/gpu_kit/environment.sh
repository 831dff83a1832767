# Sourced by run.sh and run2.sh, which set PAGE: folders, packages, and `step`, which runs one step.
#
#   OUT=…         folder of the results (./out beside the kit)
#   ROOT=…        the checkout (the folder that holds the kit)
#   PY=…          the Python of the machine, used as installed (python3)
#   KIT_SITE=…    folder for the installed wheels, to keep them (a temporary one)
#   KIT_SECONDS=… time for all steps (480)
#   STEP_LIMIT=…  the most seconds for any step (no limit but its own)
#   KIT_SCALE=…   factor on the amount of texts (1)

KIT=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=${ROOT:-$(dirname "$KIT")}
PY=${PY:-python3}
OUT=${OUT:-$KIT/out}
KIT_SCALE=${KIT_SCALE:-1}
SITE=${KIT_SITE:-$(mktemp -d)}
KIT_SECONDS=${KIT_SECONDS:-480}
export KIT OUT ROOT PY SITE KIT_SCALE PYTHONUNBUFFERED=1
mkdir -p "$OUT" && OUT=$(cd "$OUT" && pwd) && cd "$ROOT" || exit 1
: >"$OUT/$PAGE.log"
: >"$OUT/$PAGE.tsv"

# The package is imported by its name through a link, whatever the checkout is called.
[[ -e $ROOT/.link/paninifs ]] || { mkdir -p "$ROOT/.link" && ln -sfn .. "$ROOT/.link/paninifs"; }
export PYTHONPATH="$ROOT/.link:$ROOT/tests/benchmarks:$ROOT/tests/benchmarks/gpu_kit${PYTHONPATH:+:$PYTHONPATH}"
export PYTHONPATH="$PYTHONPATH:$SITE/wheels:$SITE/wheels-cuda"
export CUPY_CACHE_DIR="$SITE/programs"

# step LIMIT NAME COMMAND…: run a command for at most LIMIT seconds and for what is left of all time.
# It is noted in $PAGE.tsv how it ended; whatever happened, the next step follows. A process that a
# device holds may ignore SIGTERM and outlive its shell, so all of the step's group, which is that
# of `timeout`, is killed: the next step needs the device.
step() {
	local limit=$1 name=$2 began=$SECONDS left=$((KIT_SECONDS - SECONDS)) result
	shift 2
	((limit > left)) && limit=$left
	((limit > ${STEP_LIMIT:-$limit})) && limit=$STEP_LIMIT
	printf '##### %s\n' "$name" >>"$OUT/$PAGE.log"
	if ((limit < 1)); then
		result="not begun"
	else
		timeout --kill-after=5 "$limit" "$@" >>"$OUT/$PAGE.log" 2>&1 &
		running=$!
		wait "$running"
		result=$?
		end_running
	fi
	printf '%s\t%s\t%s\t%s\n' "$name" "$result" "$((SECONDS - began))" "$limit" >>"$OUT/$PAGE.tsv"
	printf '[%ss] %s: %s\n' "$SECONDS" "$name" "$result"
}

# unpack FOLDER: install the wheels of a folder of the kit, without the machine's own packages.
unpack() {
	compgen -G "$KIT/$1/*.whl" >/dev/null || return 0
	"$PY" -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --upgrade \
		--disable-pip-version-check --target "$SITE/$1" "$KIT/$1"/*.whl
}

# end_running: kill what is left of the step.
running=
end_running() {
	[[ -z $running ]] || kill -KILL -- -"$running" 2>/dev/null
	running=
}

tidy() { end_running; [[ -n ${KIT_SITE:-} ]] || rm -rf "$SITE"; }
