# `make demo` trains and scores a model, `make test` tests everything; each installs what it needs.
PYTHON ?= python3
VENV ?= .venv
MRDL = $(VENV)/bin/mrdl
RUN ?= demo
NUMPY ?= numpy

SOURCES = setup.py pyproject.toml $(wildcard kernels/*.pyx kernels/*.h kernels/*.pxi)

$(VENV)/installed: $(SOURCES)
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install -q --upgrade pip
	$(VENV)/bin/python -m pip install -q -e '.[plot,test]' '$(NUMPY)'
	touch $@

install: $(VENV)/installed

demo: install
	rm -rf $(RUN)
	$(VENV)/bin/python examples/digits_csv.py $(RUN)
	$(MRDL) prepare $(RUN)/train.csv $(RUN)/data --label label --hold-out 0.1
	$(MRDL) prepare $(RUN)/test.csv $(RUN)/test --label label
	$(MRDL) train examples/digits.py $(RUN)/data $(RUN)/run -r local --workers 2 \
	    --batch-size 16 --until 'val_loss patience 10, epochs 40'
	$(MRDL) evaluate $(RUN)/run $(RUN)/test --json

test: install
	$(VENV)/bin/python -m ruff check .
	$(VENV)/bin/python -m pytest -q

test-oracles: install
	$(VENV)/bin/python -m pytest -q tests/test_oracles.py tests/test_kernels.py

clean:
	rm -rf build .venv* demo *.egg-info kernels/*.so kernels/v2 kernels/v3 kernels/v4 kernels/plain

.PHONY: install demo test test-oracles clean
