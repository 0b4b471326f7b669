.DEFAULT_GOAL := help
SHELL := /bin/sh

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Two processes: each takes up to 5 GiB. Half of the files to each, so that few set-ups are made twice.
PYTEST := $(BIN)/python -m pytest -n 2 --dist worksteal
DEMO := translate_dates

.PHONY: help setup demo test test-slow check bench-decode bench-training bench-classifier bench-images bench-image-changes bench-detection bench-attention clean

help: ## Show this list
	@echo "attnzoo: attention models from a YAML file. Start with: make demo"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 24
	@echo "Another Python than python3: make setup PYTHON=python3.12"

setup: $(STAMP) ## Make .venv and install attnzoo with all it needs

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' || \
	{ echo "attnzoo needs Python 3.10 to 3.13, $(PYTHON) is $$($(PYTHON) -V 2>&1); name another one: make setup PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@# The pip that comes with older Pythons tries hundreds of versions where today's finds the right ones.
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install -e '.[dev]'
	@touch $(STAMP)

demo: setup ## Train a small translator of dates, measure it and show what it writes
	$(BIN)/attnzoo train configs/$(DEMO).yaml
	$(BIN)/attnzoo eval runs/$(DEMO)
	$(BIN)/attnzoo attend runs/$(DEMO) --count 4

test: setup ## Run the fast tests
	$(PYTEST)

# One session for each folder: TensorFlow keeps what it compiles, and a process may have 65,530 memory maps.
SLOW_PARTS := $(sort $(patsubst %/,%,$(dir $(wildcard tests/*/test_*.py)))) tests/test_*.py

test-slow: setup ## Run the tests that take minutes
	@failed=; for part in $(SLOW_PARTS); do echo "$$part"; $(PYTEST) -m slow $$part || [ $$? = 5 ] || failed="$$failed $$part"; done; \
	[ -z "$$failed" ] || { echo "failed in:$$failed" >&2; exit 1; }

check: setup ## Check style and types and run the fast tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(PYTEST)

bench-decode: setup ## Time translations of RUN, beside CTranslate2 in the Python CTRANSLATE2_PYTHON
	$(BIN)/python scripts/bench_decode.py $(RUN) $(if $(CTRANSLATE2_PYTHON),--ctranslate2-python $(CTRANSLATE2_PYTHON)) $(OPTIONS)

bench-training: setup ## Time training of CONFIG beside OpenNMT-tf in the Python OPENNMT_PYTHON
	$(BIN)/python scripts/bench_training.py $(CONFIG) --opennmt-python $(OPENNMT_PYTHON) $(OPTIONS)

bench-classifier: setup ## Time training of a text classifier beside Keras
	$(BIN)/python scripts/bench_classifier.py $(OPTIONS)

bench-images: setup ## Time training and reading of images beside Keras and hand-written tf.data
	$(BIN)/python scripts/bench_images.py $(OPTIONS)

bench-image-changes: setup ## Time the random changes of images beside the layers of Keras
	$(BIN)/python scripts/bench_image_changes.py $(OPTIONS)

bench-detection: setup ## Time the detector of CONFIG beside torchvision in the Python TORCH_PYTHON
	$(BIN)/python scripts/bench_detection.py $(CONFIG) $(if $(TORCH_PYTHON),--torch-python $(TORCH_PYTHON)) $(OPTIONS)

bench-attention: setup ## Time attention beside Keras, and PyTorch and JAX in the Pythons TORCH_PYTHON and JAX_PYTHON
	$(BIN)/python scripts/bench_attention.py $(OPTIONS)

clean: ## Remove caches and build products; keeps runs/ and .venv/
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find attnzoo scripts tests -name __pycache__ -type d -prune -exec rm -rf {} +
