# `make demo` and `make test` set up .venv by themselves; the plain commands behind them are in bench/command/README.md.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test setup slurm-test perf clean

demo: setup
	$(BIN)/python run_all.py

test: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -n 2

setup: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@

# A real Slurm on this machine (Debian, as root): installs it if need be, and stops it again.
slurm-test: setup
	bash tests/slurm/up
	$(BIN)/python -m pytest -m slurm tests/slurm; code=$$?; bash tests/slurm/down; exit $$code

# Benchmarks, without thresholds: ROUNDS=9 make perf
perf: setup
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[perf]"
	$(BIN)/python tests/perf/run.py --rounds $${ROUNDS:-5}

clean:
	rm -rf .venv build *.egg-info
