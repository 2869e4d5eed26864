# make demo   environment, weights, the embedded clip: where the results are, and how far the angles are from its truth
# make test   the whole suite; make test-fast leaves out the slow ones
# make lint   ruff, types, layers, spelling;  make docs   the documents as a site in site/
# Windows without make: the commands below work in any shell (see README).
PYTHON ?= python3
VENV := .venv
ifeq ($(OS),Windows_NT)
BIN := $(VENV)/Scripts
else
BIN := $(VENV)/bin
endif
RESULTS := results
STAMP := $(VENV)/.installed

.PHONY: demo test test-fast samples lint docs bench clean

demo: $(STAMP)
	$(BIN)/biopose assets
	$(BIN)/biopose run sample_videos/walk.mp4 --out $(RESULTS)
	@echo "Results: $(RESULTS)/walk  (open walk.osim in OpenSim and load walk.mot as its motion)"
	@echo "Angles against the clip's known truth:"
	$(BIN)/biopose compare $(RESULTS)/walk/walk.mot sample_videos/walk_truth.mot --shift 0

test: $(STAMP)
	$(BIN)/biopose assets
	$(BIN)/python -m pytest

test-fast: $(STAMP)
	$(BIN)/biopose assets
	$(BIN)/python -m pytest -m "not slow"

samples: $(STAMP)
	$(BIN)/biopose assets --samples

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell

docs: $(STAMP)
	$(BIN)/mkdocs build --strict --quiet

bench: $(STAMP)
	$(BIN)/biopose bench

clean:
	rm -rf $(VENV) $(RESULTS) sample_videos/fetched site build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache .import_linter_cache

# The tested versions; without -c pip takes the newest that pyproject.toml allows.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -c constraints.txt -e ".[dev,docs]"
	@$(BIN)/python -c "import pathlib; pathlib.Path('$(STAMP)').touch()"
