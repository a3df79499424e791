# make ablation   set up, then run the main job: the fusion ablation on the built-in corpus
# make test       set up, then run the tests
# make test-long  the tests that take minutes: every command of the README, real kills
# make lint       style, types, import rules and the code map
# make docs       the site of docs/ in build/site; nothing is fetched
# make setup      .venv with the package and every extra that the others need; seconds when nothing changed
.PHONY: setup ablation test test-long lint docs ui

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SUITS := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))

setup: $(VENV)/.ready

# A .venv that is broken, half made or of another Python is made anew, once a fitting Python is found.
# uv installs in a fifth of pip's time; it is only a convenience, pip does the same.
$(VENV)/.ready: pyproject.toml constraints.txt
	@{ $(BIN)/python -c '$(SUITS)' && $(BIN)/python -m pip --version; } >/dev/null 2>&1 || { \
		$(PYTHON) -c '$(SUITS)' || { echo "Python 3.11 or 3.12 is needed; say which: make PYTHON=python3.12"; exit 1; }; \
		$(PYTHON) -m venv --clear $(VENV); }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check 'uv>=0.5,<1' || true
	@if [ -x $(BIN)/uv ]; then $(BIN)/uv pip install --quiet --python $(BIN)/python -c constraints.txt -e '.[all]'; \
		else $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[all]'; fi
	@touch $@

ablation: setup
	$(BIN)/exomni ablate ablations/nano_fusion.yaml

test: setup
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m 'not long'

test-long: setup
	$(BIN)/python -m pytest -n 2 --dist loadfile -m long

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python docs/code_map.py --check

docs: setup
	$(BIN)/python docs/code_map.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "open build/site/index.html"

ui: setup
	$(BIN)/exomni ui
