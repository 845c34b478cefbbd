# Everything runs in .venv, which each target makes first if it is not there.

PYTHON ?= python3
BIN := .venv/bin
EDITABLE := -e ".[dev]" --config-settings editable_mode=strict

.PHONY: demo test test-slow test-random measure compare engine fuzz mutation clean

demo: .venv/linked
	$(BIN)/nomul demo examples/digits.toml --out runs/digits

# Lint, format and types are tests too: tests/test_architecture.py.
test: .venv/linked
	$(BIN)/python -m pytest -n 2 -m "not slow"

test-slow: .venv/linked
	$(BIN)/python -m pytest -n 2 -m slow

# As the tests of random networks, fast and slow, but each time with others.
test-random: .venv/linked
	$(BIN)/python -m pytest -n 2 --hypothesis-profile=random tests/test_random_networks.py \
		tests/hw/test_engine.py tests/hw/test_folding.py tests/verify/test_coverage.py

# Measures what docs/measurements.md states, and writes it.
measure: .venv/linked
	$(BIN)/python -m benchmarks.measure

# Writes docs/comparison.md: an hour or two; what is finished is kept in runs/compare.
compare: .venv/compared
	$(BIN)/python -m benchmarks.compare

# Writes docs/engine.md: some half an hour; what is finished is kept in runs/folded.
engine: .venv/compared
	$(BIN)/python -m benchmarks.engine

# Writes docs/fuzzing.md: a million hostile inputs, some half an hour; they lie in runs/fuzz.
fuzz: .venv/fuzzing
	$(BIN)/python -m benchmarks.fuzz

# Writes docs/mutation.md: some ten minutes.
mutation: .venv/linked
	$(BIN)/python -m benchmarks.mutation

clean:
	rm -rf .venv build runs *.egg-info

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("nomul needs Python 3.11 or newer: make PYTHON=python3.11" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt $(EDITABLE)
	@command -v g++ >/dev/null || command -v c++ >/dev/null || command -v clang++ >/dev/null || \
		$(BIN)/python -m pip install --quiet -c constraints.txt ziglang
	@echo "Preparing the synthesis tools: once, about a minute."
	@for tool in yosys nextpnr-ice40 icepack; do $(BIN)/yowasp-$$tool --version </dev/null >/dev/null 2>&1 || true; done
	@touch $@

.venv/compared: .venv/linked
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[compare]" \
		--config-settings editable_mode=strict
	@touch $@

.venv/fuzzing: .venv/linked
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[fuzz]" \
		--config-settings editable_mode=strict
	@touch $@

# An editable install links the files that were there: new ones need it again.
.venv/linked: .venv/installed network train sim hw boards verify cli
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps $(EDITABLE)
	@touch $@
