# Everything a newcomer, a contributor or CI does with this repository. `make` or `make help` lists it.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
UV     := uv==0.13.9
STAMP  := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo test test-quick test-slow test-cluster faults soak check docs lock wheel bench science clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | awk -F'\t' '{printf "  make %-12s %s\n", $$1, $$2}'

install: $(STAMP)  ## make .venv and install exactly what requirements.lock names (hash-checked)

# The stamp is newer than the lock once everything is in: a second run installs nothing.
$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "$(PYTHON) is older than Python 3.11; name a newer one: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 2; }
	@echo "==> making the environment in $(VENV) (once; about 6 GB, most of it torch)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "==> fetching the installer ($(UV))"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check "$(UV)"
	@echo "==> installing the locked packages, every file checked against its hash"
	@VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip sync --quiet --require-hashes --compile-bytecode requirements.lock
	@echo "==> installing this project (editable)"
	@VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip install --quiet --no-deps --no-build-isolation --offline --editable .
	@touch $@
	@echo "==> ready"

demo: install  ## the main job: the lambda sweep on embedded digits, then its report
	@echo "==> 50 trials (5 MI weights x 2 entropy weights x 5 seeds) through Ray Tune; results/lambda"
	@$(BIN)/python sweeps/lambda.py
	@echo "==> the report: open results/lambda/report.html in any browser"
	@$(BIN)/vmi report results/lambda

test: install  ## the whole test suite (ORDER=SEED: files and tests in a random order)
	@$(BIN)/python -m pytest -n 4 --dist loadfile --no-loadscope-reorder --durations=20 $(if $(ORDER),--random-order --random-order-seed=$(ORDER)) -m "not slow and not cluster and not faults and not soak"

test-quick: install  ## the library's own tests, without studies, stores in the cloud or pages: a minute or two, also on macOS
	@$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow and not cluster and not faults and not soak and not linux" $(addprefix tests/,spec data nn information objective training estimation study search cost process)

test-slow: install  ## the checks that take minutes each
	@$(BIN)/python -m pytest -m slow

test-cluster: install  ## a Ray cluster of three hosts on this machine (root; about 5 minutes)
	@VMI_TRANSCRIPT=$(CURDIR)/results/test-cluster.txt $(BIN)/python -m pytest -m cluster tests/cluster

faults: install  ## kills, torn files, full disks, dead workers and nodes: minutes (docs/reliability.md)
	@$(BIN)/python -m pytest -n 3 --dist loadfile -m "faults"

soak: install  ## the same for long: thousands of kills and commits, Tune's own restore beside ours
	@$(BIN)/python -m pytest -s -m "soak"

bench: install  ## training speed of packs against named peers, as ratios (a quarter of an hour; MNIST from VMI_DATA_DIR)
	@$(BIN)/python benchmarks/packs.py

# Each part is a study: it finds what is there, and goes on from there.
science: install  ## docs/paper.md, objectives.md and calibration.md anew (hours on two cores; MNIST from VMI_DATA_DIR)
	@$(BIN)/python sweeps/paper.py
	@$(BIN)/vmi presets results/paper --command "python sweeps/paper.py --scale laptop" --out docs/paper.md
	@$(BIN)/python sweeps/objectives.py
	@$(BIN)/vmi presets results/objectives --command "python sweeps/objectives.py" --out docs/objectives.md
	@$(BIN)/python benchmarks/calibration.py
	@for data in mnist fashion_mnist; do \
	    $(BIN)/python sweeps/invariant.py --scale $$data && $(BIN)/vmi report results/invariant-$$data || exit 1; done
	@$(BIN)/python sweeps/steps.py && $(BIN)/vmi report results/steps

check: install  ## ruff, mypy --strict, import-linter
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

docs: install  ## the documentation site, in site/: warnings are errors, internal links and anchors are checked
	@$(BIN)/python -m sphinx -q -W --keep-going -E -b html -d site/.doctrees docs site
	@echo "==> open site/index.html in any browser"

lock: install  ## write requirements.lock anew from pyproject.toml
	@$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --python-version 3.11 \
	    --group dev --extra aws --extra gcp pyproject.toml -o requirements.lock

wheel: install  ## dist/*.whl, which the recipes in cluster/ install on every node
	@$(BIN)/uv build --quiet --wheel --offline --no-build-isolation --python $(BIN)/python --out-dir dist

clean:  ## remove the environment, the site and caches (results stay)
	@rm -rf $(VENV) site .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
