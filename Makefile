# Every command sets up its own environment; `make help` lists the commands.
#
#   PYTHON=…    the Python to build the environment with (3.11 to 3.13); default: the first that
#               works of python3.13, python3.12, python3.11, python3
#   WORKERS=…   number of processes that run tests (2)
#   BENCH_RESULTS=…  folder for the figures of `make bench`, `make soak` and the like (bench-results)
#   MINUTES=… SEED=…  duration of `make soak` (30) or `make fuzz` (60), and the seed of its random choices (0)
#   GIGABYTES=…  size of the larger file that `make large-files` makes (2)
#   TESTS=…     tests that `make quick`, `make test` and `make test-all` run, such as tests/storage
#   GPU_PYTHON=…  the Python of `make test-gpu` and `make bench-gpu`, used as installed (PYTHON, else python3)
#   EMBED_PYTHON=…  the Python of `make bench-embedding`, `make bench-meaning` and `make embedding-life`, with the extra
#               `embed` (.venvs/embed/bin/python)

SHELL := /bin/bash
VENV ?= .venv
BIN := $(VENV)/bin
WORKERS ?= 2
TESTS ?= tests
TESTED = $(TESTS) $(if $(filter tests,$(TESTS)),$(PACKAGE))
CHOICE ?=
GPU_PYTHON ?= $(or $(PYTHON),python3)
EMBED_PYTHON ?= .venvs/embed/bin/python
DEMO_STORE ?= demo-results.zarr
BENCH_RESULTS ?= bench-results
DASKS := 2026.1.1 2026.8.0
BROWSERS := chromium chromium-browser google-chrome google-chrome-stable
PIP_INSTALL := $(BIN)/python -m pip install -qq --disable-pip-version-check --no-input

# Doctests and mypy import the package by its name through this link, whatever the clone is called.
LINK := .link/paninifs
PACKAGE := $(addprefix $(LINK)/,__init__.py storage graphs engine)
PYTEST = $(BIN)/python -P -m pytest -c tests/pytest.ini --rootdir tests -n $(WORKERS) --dist worksteal

.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: help demo quick test test-all tests lint format screenshots bench bench-advice bench-climbing bench-collecting bench-host bench-embedding bench-meaning bench-micro-batches bench-near-duplicates bench-sample bench-watching embedding-life reference soak fuzz large-files test-rapids test-embed test-gpu bench-gpu gpu-kit test-dask test-matrix requirements clean FORCE

help: ## list the commands
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 22

demo: $(VENV)/.run ## run the engine on the demo corpus, then show the results
	$(BIN)/paninifs run deploy/demo/panini-papers.jsonl $(DEMO_STORE) --fresh
	$(BIN)/paninifs show $(DEMO_STORE)

quick: $(VENV)/.dev | $(LINK) ## run all but the slow unit tests, and doctests, without lint: two minutes
	$(PYTEST) -m 'unit and not slow' --doctest-modules $(TESTED)

test: lint ## lint, then run all tests except those marked soak: ten minutes
	@$(MAKE) --no-print-directory tests CHOICE='-m "not soak"'

test-all: lint ## lint, then run every test, including those with RAPIDS and torch, as CI does: half an hour
	@$(MAKE) --no-print-directory tests
	@$(MAKE) --no-print-directory test-rapids
	@$(MAKE) --no-print-directory test-embed

tests: $(VENV)/.dev $(VENV)/.browser | $(LINK)
	$(PYTEST) $(CHOICE) --doctest-modules $(TESTED)

lint: $(VENV)/.dev | $(LINK) ## check style, format and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	cd .link && "$(abspath $(BIN))/python" -m mypy --config-file ../pyproject.toml --cache-dir ../.mypy_cache -p paninifs

format: $(VENV)/.dev ## format the code and apply the fixes that ruff can make
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: $(VENV)/.dev ## measure this machine: a quarter of an hour and 12 GB; QUICK=1: two minutes
	$(BIN)/python tests/benchmarks/bench.py $(if $(QUICK),--quick) --out $(BENCH_RESULTS)

bench-advice: $(VENV)/.dev ## compare the advisor's predictions with real runs, after a calibration: five minutes
	$(BIN)/python tests/benchmarks/predictions.py --out $(BENCH_RESULTS)

bench-near-duplicates: $(VENV)/.dev ## compare near-duplicates with datasketch, and an extension with the whole: ten minutes
	PYTHONPATH=tests/support $(BIN)/python tests/benchmarks/near_duplicates.py

bench-sample: $(VENV)/.dev ## compare the estimates of `paninifs run --sample` with real runs: a quarter of an hour (Linux)
	$(BIN)/python tests/benchmarks/samples.py --out $(BENCH_RESULTS)

reference: $(VENV)/.dev ## measure this machine as the reference of the advisor
	$(BIN)/python tests/benchmarks/reference.py

bench-micro-batches: $(VENV)/.dev ## measure fixed and adaptive micro-batches; QUICK=1: two minutes
	$(BIN)/python tests/benchmarks/micro_batches.py $(if $(QUICK),--quick) --out $(BENCH_RESULTS)

bench-host: $(VENV)/.dev ## measure what the host spends on a text, however fast its device: five minutes; QUICK=1: one minute
	$(BIN)/python tests/benchmarks/host_costs.py $(if $(QUICK),--quick)

bench-meaning: | $(LINK) ## compare translations and paraphrases by the dhātus of hashes and of models, with EMBED_PYTHON
	PYTHONPATH="$(abspath $(dir $(LINK)))$${PYTHONPATH:+:$$PYTHONPATH}" $(EMBED_PYTHON) -P \
		tests/benchmarks/semantic.py --out $(BENCH_RESULTS)

bench-climbing: $(VENV)/.dev ## compare climbs with plain ones, and batches that sleep with a bare loop over dask's as_completed
	PYTHONPATH=tests/support $(BIN)/python tests/benchmarks/climbing.py --out $(BENCH_RESULTS)

bench-collecting: $(VENV)/.dev ## compare collecting with asking one at a time, and measure it at limits: three minutes (Linux)
	PYTHONPATH=tests/support $(BIN)/python tests/benchmarks/collecting.py

bench-embedding: | $(LINK) ## compare embedding blocks with sentence-transformers, TEXTS=117659 for all glosses; with EMBED_PYTHON
	for what in blocks runs static; do PYTHONPATH="$(abspath $(dir $(LINK)))$${PYTHONPATH:+:$$PYTHONPATH}" \
		$(EMBED_PYTHON) -P tests/benchmarks/embedding_rates.py $$what $(if $(TEXTS),--texts $(TEXTS)) || exit; done

embedding-life: | $(LINK) ## kill, resume, extend, mirror and verify a run of TEXTS=100000 with MODEL=static (or minilm), with EMBED_PYTHON (Linux)
	PYTHONPATH="$(abspath $(dir $(LINK)))$${PYTHONPATH:+:$$PYTHONPATH}" $(EMBED_PYTHON) \
		tests/benchmarks/embedding_life.py $(if $(MODEL),--model $(MODEL)) $(if $(TEXTS),--texts $(TEXTS)) $(if $(CORPUS),--corpus $(CORPUS)) \
		--out $(BENCH_RESULTS)

bench-watching: $(VENV)/.dev ## measure the cost of watching a run: five minutes; QUICK=1: one minute
	$(BIN)/python tests/benchmarks/watching.py $(if $(QUICK),--quick) --out $(BENCH_RESULTS)

screenshots: $(VENV)/.dev $(VENV)/.browser ## take the screenshots in deploy/docs again, with a real browser
	PYTHONPATH=tests/support $(BIN)/python tests/support/screenshots.py deploy/docs

soak: $(VENV)/.dev ## kill workers, nannies, scheduler and client of runs over a real corpus for MINUTES=30 (Linux)
	PYTHONPATH=tests/support $(BIN)/python tests/benchmarks/chaos.py $(if $(MINUTES),--minutes $(MINUTES)) $(if $(SEED),--seed $(SEED)) --out $(BENCH_RESULTS)

fuzz: $(VENV)/.dev ## read damaged files of every format for MINUTES=60
	PYTHONPATH=tests/support $(BIN)/python tests/support/fuzz.py $(if $(MINUTES),--minutes $(MINUTES)) $(if $(SEED),--seed $(SEED))

large-files: $(VENV)/.dev ## run files larger than a worker's memory, GIGABYTES=2: a quarter of an hour (Linux)
	$(BIN)/python tests/benchmarks/large_files.py $(if $(GIGABYTES),--gigabytes $(GIGABYTES)) --out $(BENCH_RESULTS)

test-rapids: ## run the tests that need the real RAPIDS but no GPU, in an environment of 4 GB (Linux)
	@$(MAKE) --no-print-directory VENV=.venvs/rapids tests-rapids

.PHONY: tests-rapids
tests-rapids: $(VENV)/.rapids | $(LINK)
	$(PYTEST) tests/rapids

test-embed: ## run the tests of models of sentence embeddings, in an environment of 4 GB
	@$(MAKE) --no-print-directory VENV=.venvs/embed tests-embed

.PHONY: tests-embed
tests-embed: $(VENV)/.embed $(VENV)/.browser | $(LINK)
	$(PYTEST) tests/embed

# For a machine with a GPU: nothing is installed, pytest's plugins may be missing (hence -o), and only
# files with GPU tests are imported. The kernels' tests need CuPy, NumPy and pytest; the conformance
# suite cloudpickle, hypothesis, locket, numba, platformdirs and pyarrow too, the others RAPIDS. What
# needs a missing package is skipped, and pytest says which.
test-gpu: | $(LINK) ## run the tests that need a GPU, with GPU_PYTHON; it needs CuPy, NumPy and pytest
	PYTHONPATH="$(abspath $(dir $(LINK)))$${PYTHONPATH:+:$$PYTHONPATH}" $(GPU_PYTHON) -P -m pytest \
		-c tests/pytest.ini --rootdir tests -o required_plugins= -o addopts='-ra --strict-markers' \
		-W ignore::pytest.PytestConfigWarning --continue-on-collection-errors \
		-m gpu $$(grep -rlw 'mark\.gpu' tests --include='test_*.py')

bench-gpu: | $(LINK) ## measure this machine's GPU, with GPU_PYTHON, which needs CuPy and NumPy; QUICK=1: rough figures
	PYTHONPATH="$(abspath $(dir $(LINK)))$${PYTHONPATH:+:$$PYTHONPATH}" $(GPU_PYTHON) \
		tests/benchmarks/gpu.py $(if $(QUICK),--quick) --out $(BENCH_RESULTS)

gpu-kit: $(VENV)/.run ## gather in .gpu what a GPU machine without internet needs: 45 MB; LARGE=1: 190 MB
	$(BIN)/python tests/benchmarks/gpu_kit/collect.py .gpu $(if $(LARGE),--large)

# --- environments ---------------------------------------------------------------------------------

# Whether an environment can be built with the interpreter $$python; prints why not.
define fitness
import sys
if not (3, 11) <= sys.version_info[:2] < (3, 14):
    sys.exit("is Python %d.%d; 3.11 to 3.13 is needed" % sys.version_info[:2])
try:
    import ensurepip, venv
except ImportError:
    sys.exit("has no venv with pip (Debian and Ubuntu: apt install python3-venv)")
endef
export fitness

# Sets $$python to the first argument that fits; otherwise prints the reasons and stops.
define pick_python
pick_python() { \
	local reasons= reason; \
	for python in "$$@"; do \
		if ! command -v "$$python" >/dev/null 2>&1; then reason="not found"; \
		elif reason=$$("$$python" -c "$$fitness" 2>&1); then return 0; \
		else reason=$$(grep -v '^$$' <<<"$$reason" | head -n 1); fi; \
		reasons+="  $$python: $$reason"$$'\n'; \
	done; \
	printf 'No Python to build %s with. Name one: make PYTHON=/path/to/python3.12 …\n%s' "$(VENV)" "$$reasons" >&2; \
	return 1; \
}
endef

# If the environment was built with another PYTHON, build it again.
ifneq ($(PYTHON),)
ifneq ($(shell cat "$(VENV)/.created" 2>/dev/null),$(shell "$(PYTHON)" -c 'import sys; print(sys.version)' 2>/dev/null))
STALE := FORCE
endif
endif

$(VENV)/.created: requirements.txt requirements-dev.txt requirements-rapids.txt $(STALE)
	@$(pick_python); \
	pick_python $(if $(PYTHON),"$(PYTHON)",python3.13 python3.12 python3.11 python3) || exit 1; \
	echo "Building $(VENV) with $$python ($$("$$python" -c 'import platform; print(platform.python_version())'))"; \
	rm -rf "$(VENV)" && "$$python" -m venv "$(VENV)" && "$$python" -c 'import sys; print(sys.version)' >$@

$(VENV)/.run: $(VENV)/.created pyproject.toml
	@echo "Installing paninifs and requirements.txt into $(VENV): 830 MB, silently, in one to five minutes"
	@$(PIP_INSTALL) --require-hashes -r requirements.txt
	@$(PIP_INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.run
	@echo "Installing requirements-dev.txt into $(VENV)"
	@$(PIP_INSTALL) --require-hashes -r requirements-dev.txt
	@touch $@

# Some tests check pages in a browser: the installed one, else the system's package, else playwright's
# own. The last one needs playwright, so this comes after .dev or .colab.
$(VENV)/.browser: $(VENV)/.created
	@if [[ -n "$$CHROME" ]] || command -v $(BROWSERS) >/dev/null; then :; \
	elif [[ $$(id -u) = 0 ]] && command -v apt-get >/dev/null; then \
		echo "Installing chromium, which the tests use to check pages"; \
		apt-get update -qq && apt-get install -qq -y --no-install-recommends chromium >/dev/null; \
	else \
		echo "Installing playwright's chromium, which the tests use to check pages"; \
		$(BIN)/playwright install chromium; \
	fi
	@touch $@

# The pins are complete. If an extra were named, pip would look for newer versions.
$(VENV)/.rapids: $(VENV)/.created pyproject.toml
	@echo "Installing paninifs and requirements-rapids.txt into $(VENV)"
	@$(PIP_INSTALL) --require-hashes --no-deps -r requirements-rapids.txt
	@$(PIP_INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

# Alone and first: a range of versions would let pip choose a build for CUDA, of several GB.
$(VENV)/.embed: $(VENV)/.dev tests/embed-requirements.txt
	@echo "Installing tests/embed-requirements.txt into $(VENV)"
	@$(PIP_INSTALL) $$(grep '^torch==' tests/embed-requirements.txt)
	@$(PIP_INSTALL) -r tests/embed-requirements.txt
	@touch $@

$(VENV)/.colab: $(VENV)/.created pyproject.toml tests/colab-constraints.txt
	@echo "Installing paninifs[dev] under tests/colab-constraints.txt into $(VENV)"
	@$(PIP_INSTALL) 'setuptools>=77' wheel
	@$(PIP_INSTALL) --no-build-isolation -c tests/colab-constraints.txt --editable '.[dev]'
	@touch $@

$(LINK):
	@mkdir -p .link && ln -s .. $@

# The dashboard's tab depends on internals of dask. Its tests run with the oldest supported dask, and
# with the newest one at the time of writing.
test-dask: | $(LINK) ## run the tests of the dashboard's tab with other versions of dask
	@for version in $(DASKS); do \
		echo "=== dask $$version"; \
		$(MAKE) --no-print-directory VENV=.venvs/dask-$$version DASK=$$version tests-dask || exit 1; \
	done

.PHONY: tests-dask
tests-dask: $(VENV)/.dev $(VENV)/.browser | $(LINK)
	@$(PIP_INSTALL) --no-deps dask==$(DASK) distributed==$(DASK)
	$(PYTEST) tests/engine/test_dashboard.py -k "not for_a_minute"

# --- every Python, and Colab's versions -----------------------------------------------------------

# The whole suite on every Python that is found, each in its own environment, and then with the
# versions that Colab ships, on 3.12 (else 3.13). Lint is part of `make test`.
test-matrix: | $(LINK) ## run all tests on Python 3.11, 3.12 and 3.13, and with the versions in Colab
	@declare -A found=(); failed=(); ran=(); \
	for version in 3.11 3.12 3.13; do \
		for python in "python$$version" "$$HOME"/.pyenv/versions/$$version.*/bin/python; do \
			if path=$$("$$python" -c 'import ensurepip, sys, venv; print(sys.executable)' 2>/dev/null); then \
				found[$$version]=$$path; break; \
			fi; \
		done; \
		echo "Python $$version: $${found[$$version]:-not found}"; \
	done; \
	[[ $${#found[@]} -gt 0 ]] || { echo "No Python 3.11, 3.12 or 3.13 on PATH or under ~/.pyenv/versions" >&2; exit 1; }; \
	for version in 3.11 3.12 3.13; do \
		[[ -n $${found[$$version]:-} ]] || continue; \
		echo "=== Python $$version"; ran+=("$$version"); \
		$(MAKE) --no-print-directory VENV=.venvs/$$version PYTHON="$${found[$$version]}" tests || failed+=("$$version"); \
	done; \
	colab=$${found[3.12]:-$${found[3.13]:-}}; \
	if [[ -n $$colab ]]; then \
		echo "=== Colab's versions, $$colab"; ran+=(colab); \
		$(MAKE) --no-print-directory VENV=.venvs/colab PYTHON="$$colab" tests-colab || failed+=(colab); \
	else echo "Colab's versions: not run, they need Python 3.12 or 3.13"; fi; \
	echo "Ran: $${ran[*]}. Failed: $${failed[*]:-none}."; \
	[[ $${#failed[@]} -eq 0 ]]

.PHONY: tests-colab
tests-colab: $(VENV)/.colab $(VENV)/.browser | $(LINK)
	$(PYTEST) --doctest-modules $(TESTED)

# --- pins -----------------------------------------------------------------------------------------

COMPILE = .venvs/uv/bin/uv pip compile pyproject.toml --quiet --universal --generate-hashes --upgrade \
	--python-version 3.11 --group build --no-emit-index-url --no-emit-find-links \
	--custom-compile-command "make requirements"

# The other sets are constrained by the first, so that all of them agree.
requirements: ## pin the newest versions that work for both the CPU and RAPIDS
	@$(pick_python); \
	pick_python $(if $(PYTHON),"$(PYTHON)",python3.13 python3.12 python3.11 python3) || exit 1; \
	[[ -x .venvs/uv/bin/uv ]] || { "$$python" -m venv .venvs/uv && \
		.venvs/uv/bin/python -m pip install -qq --disable-pip-version-check uv; }
	$(COMPILE) --extra dev --output-file requirements-dev.txt
	$(COMPILE) --constraint requirements-dev.txt --output-file requirements.txt
	$(COMPILE) --constraint requirements-dev.txt --extra cuda13 --extra test \
		--output-file requirements-rapids.txt

clean: ## remove everything that these commands made
	rm -rf .venv .venvs .gpu .link .mypy_cache .ruff_cache .pytest_cache .hypothesis tests/.pytest_cache tests/.hypothesis \
		build dist paninifs.egg-info "$(DEMO_STORE)"
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
