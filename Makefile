# The two commands of the README are `make demo` and `make test`; each builds what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test slow check bench audit clean

demo: $(STAMP)
	$(BIN)/stillhouse demo $(ARGS)

# One thread a process: the tests compare bits, and two processes fill two cores.
test: export OMP_NUM_THREADS = 1
test: $(STAMP)
	$(BIN)/pytest -m "not slow" -n 2 --dist loadfile

slow: export OMP_NUM_THREADS = 1
slow: $(STAMP)
	$(BIN)/pytest -m slow -n 2

check: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/deptry .

bench: $(STAMP)
	$(BIN)/python -m benchmarks.run
	$(BIN)/python -m benchmarks.scale
	$(BIN)/python -m benchmarks.scale_training

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Stillhouse needs Python 3.11 or newer: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1,<27'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch numpy
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[demo,endpoint,explain,hub,language,lora,onnx,ray,s3,tune]' --group dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --no-deps --group bare
	touch $(STAMP)

# Known holes of the versions that are installed; needs the network, so it is no part of `check`.
audit: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check pip-audit
	$(BIN)/python -m pip_audit --requirement constraints.txt --no-deps --disable-pip

clean:
	rm -rf $(VENV) runs .mypy_cache .ruff_cache .pytest_cache .hypothesis
