# make demo: restore a sample photo.   make test: everything that must hold.   Both make an
# environment of their own, .make-venv, and leave your .venv alone.
PYTHON ?= python3
VENV := .make-venv
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Where it is set, every process that a test starts compiles all modules anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo app test test-slow test-lowest audit fuzz soak lint docs chapter docs-links format bench clean

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# Two stamps: the demo needs only what a user installs, the tests need training and checks too.
$(VENV)/.core: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/.dev: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable ".[train,dev]"
	@touch $@ $(VENV)/.core

demo: $(VENV)/.core
	$(BIN)/python examples/demo.py

# dist/Revisage, a folder that restores photos on a machine without Python; of this system only.
app: $(VENV)/.app
	$(VENV)/app/bin/pyinstaller --noconfirm --log-level WARN deploy/desktop/revisage.spec

$(VENV)/.app: pyproject.toml | $(BIN)/python
	$(BIN)/python -m venv $(VENV)/app
	$(VENV)/app/bin/python -m pip install --quiet ".[serve]" pyinstaller
	@touch $@

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Two processes, a file of tests in one of them: each takes up to 2 GB.
test: lint
	$(BIN)/pytest -n 2 --dist loadfile

test-slow: lint
	$(BIN)/pytest -m slow

# The tests with the oldest version of every library that pyproject.toml admits.
test-lowest: $(VENV)/.lowest
	$(VENV)/lowest/bin/python -m pytest

$(VENV)/.lowest: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(VENV)/lowest
	$(BIN)/uv pip compile --quiet --resolution lowest-direct --extra train --extra dev --extra ray \
	  --python $(VENV)/lowest/bin/python pyproject.toml -o $(VENV)/lowest.txt
	$(BIN)/uv pip install --quiet --python $(VENV)/lowest/bin/python -r $(VENV)/lowest.txt --no-deps --editable .
	@touch $@

# Published faults in the newest and in the oldest versions that pyproject.toml admits. Needs a network.
audit: $(VENV)/.dev $(VENV)/.lowest
	$(BIN)/python -m pip install --quiet pip-audit
	$(BIN)/pip-audit --vulnerability-service osv --skip-editable
	$(BIN)/pip-audit --vulnerability-service osv --no-deps --disable-pip -r $(VENV)/lowest.txt

# Mutated files through decoding and encoding; COUNT=100000 takes hours.
COUNT ?= 2000
fuzz: $(VENV)/.dev
	$(BIN)/python benchmarks/fuzz.py ../shared/data --count $(COUNT)

# Requests to a server, whose memory must not grow.
soak: $(VENV)/.dev
	$(BIN)/python benchmarks/soak.py --count 10000

# The site, in docs/_build/html. Every warning is an error; a link inside the site that leads nowhere is one.
docs: $(VENV)/.dev
	$(BIN)/sphinx-build --quiet --fresh-env --fail-on-warning -b html docs docs/_build/html
	$(BIN)/python docs/check_links.py docs/_build/html

# One chapter of the course, run and as a page: make chapter NAME=degradation
chapter: $(VENV)/.dev
	$(BIN)/sphinx-build --quiet --fresh-env --fail-on-warning -b html -c docs -D root_doc=course/$(NAME) \
	  -D include_patterns=course/$(NAME).md -D suppress_warnings=myst.xref_missing docs docs/_build/chapter
	@echo "docs/_build/chapter/course/$(NAME).html"

# Links to other sites; needs a network.
docs-links: $(VENV)/.dev
	$(BIN)/sphinx-build --quiet -b linkcheck -D nb_execution_mode=off docs docs/_build/links

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.dev
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/memory.py
	$(BIN)/python benchmarks/runtime.py
	$(BIN)/python benchmarks/degrade.py

clean:
	rm -rf $(VENV) demo build dist docs/_build
