# make demo   rectifies the demo model: no GridSample left, proven equal
# make test   lints, type-checks and tests
#
# Both install what they need into .venv, once, and touch nothing outside this folder.

PYTHON ?= python3
BIN := .venv/bin
INSTALL := PIP_CONSTRAINT=constraints.txt PIP_BUILD_CONSTRAINT=constraints.txt \
    $(BIN)/python -m pip install --disable-pip-version-check --quiet

.PHONY: demo test backend-tests bench clean
.DELETE_ON_ERROR:

demo: .venv/core build/tps.onnx
	$(BIN)/surgery apply build/tps.onnx --pass gridsample

test: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest -n 2

# Every backend-test model of the onnx wheel; `make test` takes a seeded sample of them.
backend-tests: .venv/dev
	$(BIN)/pytest -n 2 -m backend_all

# Each figure beside its peer. Those on real models need SURGERY_MODELS.
bench: .venv/dev
	$(BIN)/python -m benchmarks.startup
	$(BIN)/python -m benchmarks.apply
	$(BIN)/python -m benchmarks.evidence
	$(BIN)/python -m benchmarks.gridsample
	$(BIN)/python -m benchmarks.large_graph
	$(BIN)/python -m benchmarks.large_weights

clean:
	rm -rf .venv build

build/tps.onnx: fixtures/tps.py fixtures/__init__.py fixtures/__main__.py fixtures/_text.py | .venv/core
	mkdir -p build
	$(BIN)/python -m fixtures tps $@

.venv/core: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(INSTALL) --editable .
	touch $@

.venv/dev: .venv/core
	$(INSTALL) --editable '.[dev,torch,slim,sim,graphsurgeon,show]'
	touch $@
