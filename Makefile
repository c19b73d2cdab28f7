# Each target creates the virtual environment it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# pip would compile every module of every package, on one core: each is compiled when it is first
# imported instead.
PIP := $(BIN)/python -m pip install --no-compile --quiet --disable-pip-version-check --constraint requirements.lock
unexport PYTHONDONTWRITEBYTECODE

# The tests of a file share fixtures, so one process runs them.
IN_PARALLEL := -n auto --dist loadfile --no-loadscope-reorder --max-worker-restart 0

.DEFAULT_GOAL := help
.PHONY: help demo test check kernels-songmill kernels-librosa collected system storm containers dist docs bench lock clean

help:
	@echo "make demo    synthesise a small collection and extract it (about a minute; seconds when repeated)"
	@echo "make test    run make check, then the tests, quick ones first"
	@echo "make check   run only ruff, mypy and the import contracts"
	@echo "make system  test the whole: real clusters, object stores, databases and browsers, killed jobs (about four minutes)"
	@echo "make storm   run the longer fault tests: kills and full disks at many moments (about a quarter of an hour)"
	@echo "             STORM_PART=0/4 runs the first of four shares of these moments"
	@echo "make containers  build the images and test docker-compose.yml (needs a Docker daemon)"
	@echo "make dist    build the wheel, run README's commands with it, and check the list of licences"
	@echo "make docs    build the documentation's site, docs/site/index.html"
	@echo "make bench   time the features against the plain recipe (about ten minutes)"
	@echo "make lock    pin the newest versions that pyproject.toml allows"
	@echo "make clean   remove the virtual environment, the demo and every cache"

# Kept apart so that the demo does not wait for the test tools.
$(VENV)/installed: pyproject.toml requirements.lock
	$(PYTHON) -c 'import sys; sys.exit("songmill needs Python 3.11 or newer, and $(PYTHON) is " + sys.version.split()[0] + ": make PYTHON=python3.12 ...") if sys.version_info < (3, 11) else None'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) --editable '.[all]'
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(PIP) --editable '.[dev]'
	touch $@

demo: $(VENV)/installed
	$(BIN)/songmill demo

check: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

# All test processes start with these kernels, which take longer to compile than the checks.
kernels-songmill: COMPILE = containers.compile_kernels
kernels-librosa: COMPILE = tests.support.compile_kernels
kernels-songmill kernels-librosa: $(VENV)/installed
	NUMBA_CACHE_DIR=tests/__pycache__/compiled $(BIN)/python -m $(COMPILE)

# Compiles all modules once, and not in every test process.
collected: $(VENV)/installed-dev
	$(BIN)/python -m pytest --collect-only --quiet >/dev/null

test: $(VENV)/installed
	$(MAKE) --jobs kernels-librosa kernels-songmill check collected
	$(BIN)/python -m pytest -m 'not storm and not containers and not dist' --ignore tests/system $(IN_PARALLEL) --durations 15

system: $(VENV)/installed-dev
	$(BIN)/python -m pytest -m 'not storm' $(IN_PARALLEL) --durations 5 tests/system

storm: $(VENV)/installed-dev
	$(BIN)/python -m pytest -m storm -n auto --dist worksteal --durations 5 --max-worker-restart 0

containers: $(VENV)/installed-dev
	$(BIN)/python -m pytest -m containers -o faulthandler_timeout=1800 tests/containers

# The wheel alone, installed apart from its source. pip-licenses prints "name","licence".
dist: $(VENV)/installed-dev
	rm -rf dist
	$(BIN)/pyproject-build --wheel --outdir dist . >/dev/null
	$(PYTHON) -m venv dist/venv
	dist/venv/bin/python -m pip install --no-compile --quiet --disable-pip-version-check \
		--constraint requirements.lock "$$(echo dist/*.whl)[all]"
	$(BIN)/python -m pytest -m dist tests/test_readme.py
	$(BIN)/pip-licenses --python dist/venv/bin/python --no-version --format csv --ignore-packages songmill \
		| sed -e '1d; s/^"\(.*\)","\(.*\)"$$/| \1 | \2 |/' >dist/licences
	! grep --line-regexp --invert-match --fixed-strings --file docs/licences.md dist/licences \
		|| { echo "These licences are not in docs/licences.md." >&2; exit 1; }

# Broken links are warnings.
docs: $(VENV)/installed-dev
	$(PIP) --editable '.[docs]'
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going docs docs/site

bench: $(VENV)/installed-dev
	$(BIN)/python -m benchmarks.extract

lock:
	$(PYTHON) -m venv $(VENV)-lock
	$(VENV)-lock/bin/python -m pip install --quiet uv==0.13.9
	$(VENV)-lock/bin/uv pip compile pyproject.toml --extra dev --extra docs --universal --python-version 3.11 --upgrade \
		--no-header --no-annotate --no-emit-index-url --output-file requirements.lock
	rm -r $(VENV)-lock

clean:
	rm -rf $(VENV) dist docs/site songmill-demo .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -r {} +
