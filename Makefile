# Every target installs what it needs into .venv; PYTHON names the interpreter to begin with (3.11 or newer).
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo demo-text test test-slow lint format clean

DEMO ?= runs/demo

# Interrupted, it goes on where it was.
demo: .venv/installed
	@if [ -e $(DEMO)/config.json ]; then $(BIN)/prefrl resume $(DEMO); \
	else $(BIN)/prefrl train cheetah --labels 700 --steps 300000 --out $(DEMO); fi
	@$(BIN)/prefrl report $(DEMO)
	@$(BIN)/prefrl watch $(DEMO)

# A language model from nothing to an assistant. Interrupted, it goes on where it was.
demo-text: .venv/installed-text
	@$(BIN)/python experiments/text_demo.py run 0

# A process for each of two processors; the tests of a file stay together, because they share what is costly to make.
test: lint
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile

test-slow: .venv/installed-dev
	$(BIN)/pytest -m slow

lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv/installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.venv/bin/python:
	$(PYTHON) -m venv .venv

# The constraints pin torch's version; torch from elsewhere may bring gigabytes of CUDA along.
.venv/installed: pyproject.toml constraints.txt | .venv/bin/python
	$(BIN)/pip install --quiet -c constraints.txt 'torch==2.13.0'
	$(BIN)/pip install --quiet -c constraints.txt -e .
	touch $@

.venv/installed-text: pyproject.toml constraints.txt | .venv/bin/python
	$(BIN)/pip install --quiet -c constraints.txt 'torch==2.13.0'
	$(BIN)/pip install --quiet -c constraints.txt -e '.[text]'
	touch $@ .venv/installed

.venv/installed-dev: pyproject.toml constraints.txt | .venv/bin/python
	$(BIN)/pip install --quiet -c constraints.txt 'torch==2.13.0'
	$(BIN)/pip install --quiet -c constraints.txt -e '.[dev,atari,label,text]'
	touch $@ .venv/installed

clean:
	rm -rf .venv
