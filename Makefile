# Environments, tests and style. `make` lists the targets.

PYTEST_ARGS ?=
WORKERS ?= auto
PIP_ARGS ?=
DATA ?=
CASES ?= 100000

# The first of these that is Python 3.10-3.12 and runs; or name one: make test PYTHON=python3.12
IN_RANGE := import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))
PYTHON ?= $(shell for python in python3 python3.12 python3.11 python3.10; do \
	$$python -c '$(IN_RANGE)' >/dev/null 2>&1 && echo $$python && break; done)

CPP := $(shell find rsmamba_mm -name '*.cpp' -o -name '*.h')
# Tests are spread over processes; a worker that is done takes over tests of another.
PYTEST := -m pytest -n $(WORKERS) --dist worksteal

PORTABLE := rsmamba_mm/ops/backends/cpu/lib

MAIN := .venv/.installed
APP := .venv/.app
DOCS := .venv/.docs
UPSTREAM := .venv-upstream/.installed
AUDIT := .venv-audit/.installed

.DEFAULT_GOAL := help
.PHONY: help demo app test test-fast test-upstream reliability reliability-full sanitize coverage lint format audit \
	wheel docs docs-links clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

demo: $(MAIN) ## train and test on synthetic scenes, or on DATA=folder; results in work_dirs/demo
	@.venv/bin/python tools/demo.py $(if $(DATA),--data "$(DATA)") --work-dir work_dirs/demo

app: $(APP) ## open a page to try what `make demo` trained: http://127.0.0.1:7860
	@.venv/bin/python demo/app.py

test: $(MAIN) ## run all tests (PYTEST_ARGS='-k scan' chooses, WORKERS=0 debugs)
	@.venv/bin/python $(PYTEST) $(PYTEST_ARGS)

test-fast: $(MAIN) ## run the tests that take seconds
	@.venv/bin/python $(PYTEST) -m "not slow" $(PYTEST_ARGS)

test-upstream: $(UPSTREAM) ## run the tests on upstream OpenMMLab, in an environment of its own
	@.venv-upstream/bin/python $(PYTEST) $(PYTEST_ARGS)

# RSMAMBA_RELIABILITY says how often what is repeated is; finished blocks of cases are not done again
reliability: LEVEL := long
reliability-full: LEVEL := full
reliability: $(APP) ## do bad days at length: kills, faults, bad input, fuzz; the table of docs/reliability.md
reliability-full: $(APP) ## do them for hours; goes on where it was cut
reliability reliability-full:
	@$(if $(filter reliability,$@),rm -rf work_dirs/reliability)
	@RSMAMBA_RELIABILITY=$(LEVEL) RSMAMBA_RELIABILITY_DIR=work_dirs/$@ \
		.venv/bin/python $(PYTEST) -m reliability $(PYTEST_ARGS)
	@.venv/bin/python tests/reliability.py work_dirs/$@

sanitize: $(MAIN) ## run the native code on CASES=100000 random calls under sanitizers (g++)
	@.venv/bin/python tests/native/sanitize.py --cases $(CASES)

coverage: $(MAIN) ## run all tests and name the lines that none reaches; pages in htmlcov
	@.venv/bin/python $(PYTEST) --cov --cov-report=term-missing:skip-covered --cov-report=html $(PYTEST_ARGS)

lint: $(MAIN) ## check style, types and the workflows
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/clang-format --dry-run --Werror $(CPP)
	@.venv/bin/pyright --pythonpath .venv/bin/python
	@.venv/bin/zizmor --offline --quiet .github

format: $(MAIN) ## put the style right
	@.venv/bin/ruff check --fix-only --quiet .
	@.venv/bin/ruff format .
	@.venv/bin/clang-format -i $(CPP)

docs: $(DOCS) ## build the site into build/docs; a warning is an error
	@.venv/bin/python -m sphinx -q -W --keep-going -c docs . build/docs
	@echo build/docs/docs/index.html

docs-links: $(DOCS) ## look up the addresses that the pages link to
	@.venv/bin/python -m sphinx -q -b linkcheck -c docs . build/links

audit: $(MAIN) $(AUDIT) ## look up vulnerabilities, write dist/sbom.cdx.json, check the licences
	@.venv-audit/bin/python tools/audit.py .venv

# auditwheel reads from the libraries which glibc they need, and says so in the name
wheel: $(MAIN) ## build dist/*.whl with the native CPU backend in it, for Linux x86-64
	@.venv/bin/python -m pip install -qq $(PIP_ARGS) -r requirements/wheel.txt
	@trap 'rm -rf $(PORTABLE) build/wheel' EXIT; set -e; rm -rf build/wheel; \
		.venv/bin/python -m rsmamba_mm.ops.build --portable >/dev/null; \
		.venv/bin/python -m pip wheel -qq --no-deps --no-build-isolation -w build/wheel .; \
		PATH="$(CURDIR)/.venv/bin:$$PATH" auditwheel repair --exclude 'libtorch*' --exclude 'libc10*' -w dist build/wheel/*.whl

clean: ## remove the environments, builds and caches
	rm -rf .venv .venv-upstream .venv-audit build dist *.egg-info .pytest_cache .ruff_cache htmlcov .coverage*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(MAIN): EXTRAS := mm,geo,export,tests
$(APP): EXTRAS := mm,geo,app
$(DOCS): EXTRAS := mm,geo,docs
$(UPSTREAM): EXTRAS := openmmlab,geo,tests

define INSTALL
@$(@D)/bin/python -m pip install -qq $(PIP_ARGS) -c requirements/constraints.txt -e ".[$(EXTRAS)]"
	@$(@D)/bin/python -c 'import cv2' 2>/dev/null || { \
		echo "OpenCV lacks a system library here: taking its build without windows." && \
		$(@D)/bin/python -m pip uninstall -qq -y opencv-python && \
		$(@D)/bin/python -m pip install -qq $(PIP_ARGS) -c requirements/constraints.txt \
			--force-reinstall --no-deps opencv-python-headless; }
endef

# A stamp in each environment: installed again when the requirements change.
$(MAIN) $(UPSTREAM): setup.py $(wildcard requirements/*.txt)
	@test -n "$(PYTHON)" || { echo "No Python 3.10, 3.11 or 3.12 found." \
		"Install one, or name one: make $(MAKECMDGOALS) PYTHON=/path/to/python3.12" >&2; exit 1; }
	@$(PYTHON) -c '$(IN_RANGE)' 2>/dev/null || { echo "$(PYTHON) does not run or is not Python 3.10-3.12." \
		"Name another one: make $(MAKECMDGOALS) PYTHON=/path/to/python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) cannot make virtual" \
		"environments. On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@echo "Installing rsmamba_mm[$(EXTRAS)] into $(@D): about a minute, more where PyTorch is to be fetched."
	@$(PYTHON) -m venv $(@D)
	@$(@D)/bin/python -m pip install -qq --upgrade pip
	$(INSTALL)
	@touch $@

$(APP) $(DOCS): $(MAIN)
	$(INSTALL)
	@touch $@

$(AUDIT): requirements/audit.txt | $(MAIN)
	@.venv/bin/python -m venv $(@D)
	@$(@D)/bin/python -m pip install -qq $(PIP_ARGS) -r requirements/audit.txt
	@touch $@
