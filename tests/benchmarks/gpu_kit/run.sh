#!/bin/bash
# The first minutes on a GPU: `bash .gpu/run.sh`. Takes at most eight minutes and leaves a page of
# facts against predictions in $OUT/page.md. See environment.sh for what can be set.
PAGE=page
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

# Whatever ends this script, the page is there.
page() { "$PY" -P "$ROOT/tests/benchmarks/gpu_kit/page.py" "$OUT" >>"$OUT/page.log" 2>&1; }
trap 'page; tidy' EXIT
trap 'exit 1' INT TERM HUP

gpu() { # subjects of tests/benchmarks/gpu.py
	"$PY" -P "$ROOT/tests/benchmarks/gpu.py" --add --out "$OUT" --scale "$KIT_SCALE" "$@"
}
kit() { "$PY" -P "$ROOT/tests/benchmarks/gpu_kit/$1.py"; }
machine() {
	nvidia-smi || echo "nvidia-smi is not on this machine"
	uname -a
	"$PY" -V
	df -h /dev/shm /tmp
	free -g
	"$PY" -m pip list --disable-pip-version-check 2>/dev/null
}
wheels() {
	unpack wheels && unpack wheels-rmm || return 1
	"$PY" -P -c 'import cuda.bindings, cuda.core' 2>/dev/null || unpack wheels-cuda
}
# Six processes if pytest-xdist is there: most of the time, one core compiles.
kernel_tests() {
	local many=()
	"$PY" -P -c 'import xdist' 2>/dev/null && many=(-n "${KIT_PROCESSES:-6}" --dist worksteal)
	"$PY" -P -m pytest -c tests/pytest.ini --rootdir tests -o required_plugins= \
		-o addopts='-ra --strict-markers' -W ignore::pytest.PytestConfigWarning \
		--continue-on-collection-errors -p no:cacheprovider -m gpu "${many[@]}" \
		--junit-xml="$OUT/tests.xml" tests/graphs/test_gpu_kernels.py \
		tests/graphs/test_gpu_conformance.py tests/graphs/test_gpu_parquet.py
}
cluster() { PYTHONPATH="$PYTHONPATH:$SITE/wheels-rmm" kit cluster; }

export -f gpu kit machine wheels unpack kernel_tests cluster

# Limit in seconds and command. The limits of the first list add up to KIT_SECONDS, so that each of
# its steps has its whole limit whatever the others take. The steps of the second list share what is
# left of the time, and the last of them may not begin.
FIRST=(
	"45 wheels" "15 machine" "50 gpu start" "140 kernel_tests" "55 gpu rates" "65 cluster"
	"110 gpu runs"
)
THEN=(
	"45 gpu bus" "60 gpu overlap" "45 kit lost_device" "30 gpu calls long" "45 kit looped_heads"
)
for one in "${FIRST[@]}" "${THEN[@]}"; do
	read -r limit what <<<"$one"
	step "$limit" "$what" bash -c "$what"
	page
done
echo "the page: $OUT/page.md"
