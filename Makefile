# make demo   rectifies the demo model: no GridSample left, proven equal
# make test   lints, type-checks and tests
#
# Both install what they need into .venv, once, and touch nothing outside this folder.

PYTHON ?= python3
BIN := .venv/bin
INSTALL = PIP_CONSTRAINT=constraints.txt PIP_BUILD_CONSTRAINT=constraints.txt \
    $(BIN)/python -m pip install --disable-pip-version-check --quiet

# mmocr and mmdeploy, with versions that fit each other; see docs/mmocr.md.
MM_BIN := .venv-mmdeploy/bin
MM_INSTALL := $(MM_BIN)/python -m pip install --disable-pip-version-check --quiet

.PHONY: mmdeploy test-mmdeploy demo test backend-tests backends bench clean
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

# What `surgery compile` does on OpenVINO, MNN and ncnn, and whether their rules are true, in an environment of its
# own: half a gigabyte.
# Figures on real models: .venv-backends/bin/python -m benchmarks.targets, with SURGERY_MODELS.
backends: .venv-backends/done
	.venv-backends/bin/pytest -n 2 tests/backends tests/test_targets_compile.py

# Each figure beside its peer. Those on real models need SURGERY_MODELS.
bench: .venv/dev
	$(BIN)/python -m benchmarks.startup
	$(BIN)/python -m benchmarks.apply
	$(BIN)/python -m benchmarks.cleanup
	$(BIN)/python -m benchmarks.backend_rules
	$(BIN)/python -m benchmarks.evidence
	$(BIN)/python -m benchmarks.gridsample
	$(BIN)/python -m benchmarks.large_graph
	$(BIN)/python -m benchmarks.large_weights

# An environment of its own with mmocr and mmdeploy.
mmdeploy: .venv-mmdeploy/done

# Tests on the real packages; minutes.
test-mmdeploy: .venv-mmdeploy/done
	$(MM_BIN)/python -m pytest tests/openmmlab

# The tables of docs/mmocr.md, measured anew; about an hour.
docs/mmocr.md: .venv-mmdeploy/done benchmarks/export_table.py
	$(MM_BIN)/python -m benchmarks.export_table $@

clean:
	rm -rf .venv .venv-mmdeploy .venv-backends build

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

# Without dependencies, for mmdeploy asks for a protobuf that onnx has long left behind.
.venv-mmdeploy/done: pyproject.toml constraints.txt constraints-mmdeploy.txt
	$(PYTHON) -m venv .venv-mmdeploy
	PIP_CONSTRAINT=constraints.txt PIP_BUILD_CONSTRAINT=constraints.txt $(MM_INSTALL) --editable '.[torch,show]' pytest
	$(MM_INSTALL) --no-deps --requirement constraints-mmdeploy.txt
	touch $@

# pnnx declares torch, which only its Python package needs: the program in it does not.
.venv-backends/done: BIN := .venv-backends/bin
.venv-backends/done: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-backends
	$(INSTALL) --editable '.[openvino,mnn,ncnn]' pytest pytest-xdist
	$(INSTALL) --no-deps pnnx
	touch $@
