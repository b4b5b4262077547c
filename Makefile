## `make new DEST=../my-service` and `make test` set up what they need: git, Python 3.11 or later and a package index are enough.
PYTHON = python3
UV = PATH="$$PWD/.cache/uv/bin:$$PATH" uv
RUN = .venv/bin/python
ARGS =

help:  ## this list
	@awk -F ':.*##' '/^# / {sub(/^# /, "\n"); print} /^[a-z-]+:.*##/ {printf "  make %-6s %s\n", $$1, $$2}' Makefile

# Use it
new: .venv/ready  ## render a project into DEST, new or existing: make new DEST=../my-service [ARGS="--level 2"]
	@test -n "$(DEST)" || { echo "make new: expected DEST, as in make new DEST=../my-service" >&2; exit 2; }
	@$(RUN) -m extensions new "$(DEST)" $(ARGS)

# Work on it
test: .venv/ready check  ## what a contributor runs: lint, types, tests (minutes)
	@$(RUN) -m pytest -q -n auto -m "not proof and not soak" $(ARGS)

proof: .venv/ready  ## the tests that need the network or servers, and the long runs at a tenth; CI runs them after `make test`
	@$(UV) sync --quiet --frozen --inexact --group proof
	@$(RUN) -m pytest -q -m "proof or soak" $(ARGS)

soak: .venv/ready  ## the long runs in full: by hand, and before a release
	@$(UV) sync --quiet --frozen --inexact --group proof
	@SOAK=1 $(RUN) -m pytest -q -n auto -m soak --durations 0 --durations-min 1 $(ARGS)

check: .venv/ready  ## lint and types
	@$(RUN) -m ruff check --quiet .
	@$(RUN) -m ruff format --check --quiet .
	@$(RUN) -m mypy

bench: .venv/ready  ## what rendering costs, in CPU seconds beside a plain template's (minutes)
	@$(RUN) -m benchmarks.bench $(ARGS)

docs: .venv/ready  ## write what is made from the code: docs/metrics.md and the pictures
	@$(RUN) -m extensions.evolution.reference
	@$(RUN) -m docs.images.make

clean:  ## forget the environment and the caches
	rm -rf .venv .cache .hypothesis .mypy_cache .pytest_cache .ruff_cache

.venv/ready: pyproject.toml uv.lock
	@command -v uv >/dev/null || test -x .cache/uv/bin/uv || { $(PYTHON) -m venv .cache/uv && .cache/uv/bin/python -m pip install --quiet --disable-pip-version-check "uv>=0.8,<1"; }
	@$(UV) sync --quiet --frozen --python $(PYTHON)
	@touch $@

.PHONY: help new test proof soak check bench docs clean
