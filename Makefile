# `make demo` trains and scores a model, `make test` tests everything; each installs what it needs.
# `make test-faults` kills every part of a cluster in turn, and takes half an hour.
PYTHON ?= python3
VENV ?= .venv
MRDL = $(VENV)/bin/mrdl
RUN ?= demo
NUMPY ?= numpy
EXTRAS ?= plot,test,hadoop,spark
# how many lines of the fault matrix `make test` runs, and what chooses them
FAULTS ?= 1:
# the nodes' Python: that below the virtual environment, which has none of its packages
NODE_PYTHON = $(shell $(VENV)/bin/python -c 'import sys; print(sys._base_executable)')
CLUSTER = MRDL_PYTHON=$(abspath $(VENV))/bin/python MRDL_NODE_PATH=$(dir $(NODE_PYTHON)) hadoop-conf/cluster
# runs $(1) inside a cluster of its own, which is stopped whatever comes of it
inside = $(CLUSTER) start $(2) && { $(CLUSTER) exec $(1); status=$$?; $(CLUSTER) stop; exit $$status; }

SOURCES = setup.py pyproject.toml $(wildcard kernels/*.pyx kernels/*.h kernels/*.pxi)

# what the demo needs, its kernels for this CPU alone; what tests need has all of it
$(VENV)/demo: $(SOURCES)
	$(PYTHON) -m venv $(VENV)
	MRDL_LEVELS=native $(VENV)/bin/python -m pip install -q --disable-pip-version-check -e '.[plot]' '$(NUMPY)'
	touch $@

$(VENV)/installed: $(SOURCES)
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install -q --upgrade pip
	$(VENV)/bin/python -m pip install -q -e '.[$(EXTRAS)]' '$(NUMPY)'
	touch $@

install: $(VENV)/installed

demo: $(if $(wildcard $(VENV)/installed),$(VENV)/installed,$(VENV)/demo)
	rm -rf $(RUN)
	$(VENV)/bin/python examples/digits_csv.py $(RUN)
	$(MRDL) prepare $(RUN)/train.csv $(RUN)/data --label label --hold-out 0.1
	$(MRDL) prepare $(RUN)/test.csv $(RUN)/test --label label
	$(MRDL) train examples/digits.py $(RUN)/data $(RUN)/run -r local --workers 2 \
	    --batch-size 16 --until 'val_loss patience 10, epochs 40'
	$(MRDL) evaluate $(RUN)/run $(RUN)/test

test: test-fast test-hadoop

# What fails in seconds comes first. A process a core has whole files of tests, which share what they prepare, in the order
# in which they stand: JAX comes last, as a process that has its threads should not fork
test-fast: install lint test-kernels
	$(VENV)/bin/python -m pytest -q -n $(JOBS) --dist loadfile --no-loadscope-reorder $(KERNEL_TESTS:%=--ignore=tests/%)

# ruff, and the floors of mrdl/, by pyproject.toml; in a copy, as jobs/ and kernels/ are packages of mrdl that lie beside it
lint: install
	$(VENV)/bin/python -m ruff check .
	rm -rf build/lint && mkdir -p build/lint/mrdl
	git ls-files -z 'mrdl/*.py' | xargs -0 cp --parents -t build/lint
	git ls-files -z 'jobs/*.py' 'kernels/*.py' | xargs -0 cp --parents -t build/lint/mrdl
	cp pyproject.toml build/lint
	cd build/lint && $(abspath $(VENV))/bin/lint-imports --no-logo --no-cache

# what a Kerberos server has beside Hadoop's jars; a folder of its own, as no cluster may find it
KDC = hadoop-minikdc,kerb-admin,kerb-client,kerb-common,kerb-identity,kerb-server,kerb-simplekdc,kerby-xdr,token-provider
build/kdc/installed: hadoop-conf/pom.xml
	rm -rf build/kdc
	mvn -q -B -f $< -P kdc dependency:copy-dependencies -DincludeArtifactIds=$(KDC) \
	    -DoutputDirectory=$(CURDIR)/build/kdc
	touch $@

test-hadoop: install build/kdc/installed
	export MRDL_FAULTS=$(FAULTS); $(call inside,$(VENV)/bin/python -m pytest -q -m hadoop,--disk 800)

test-faults: install
	$(call inside,$(VENV)/bin/python -m pytest -q -s -m hadoop tests/hadoop/test_hadoop_faults.py,--disk 800)

# a driver of another Python than the nodes', which see nothing of this checkout but the jars
DRIVER ?= python3.12
NODE ?= python3.11
test-nodes:
	$(MAKE) install VENV=.venv-driver PYTHON=$(DRIVER)
	$(NODE) -m venv build/node
	build/node/bin/python -m pip wheel -q --no-deps . -w build/wheels
	.venv-driver/bin/python -m mrdl.archive $(NODE) build/wheels
	export MRDL_HADOOP=$$(mktemp -d) MRDL_HADOOP_LIB=$(CURDIR)/build/hadoop/lib \
	    MRDL_NODE_PATH=$$($(NODE) -c 'import os, sys; print(os.path.dirname(sys.executable))'); \
	hadoop-conf/cluster start --hide mrdl kernels jobs .venv-driver build/node build/wheels && { \
	MRDL_WHEELS=build/wheels hadoop-conf/cluster exec .venv-driver/bin/python -m pytest -q -m hadoop \
	    tests/hadoop/test_hadoop.py -k one_machine; status=$$?; hadoop-conf/cluster stop; exit $$status; }

# what enters kernels, for a build that checks bounds too
JOBS ?= $(shell nproc)
KERNEL_TESTS = kernels layers training rounds bits
test-kernels: install
	$(VENV)/bin/python -m pytest -q -n $(JOBS) $(KERNEL_TESTS:%=tests/%)

# the kernels under AddressSanitizer and UBSan, in a copy of the tree. Python itself leaks. libstdc++ is loaded first too:
# ASan looks up what throws C++ exceptions when it starts, and ends a process that throws without (JAX, matplotlib do)
SANITIZE ?= address,undefined
SANITIZED = kernels layers/test_layers.py layers/test_masks.py training/test_truncated.py layers/test_states.py layers/test_normalization.py layers/test_graph.py layers/test_noise.py training/test_losses.py training/test_optimizers.py training/test_metrics.py rounds/test_partial.py
test-sanitized:
	rm -rf build/sanitized && mkdir -p build/sanitized
	git ls-files -z | xargs -0 cp --parents -t build/sanitized
	MRDL_SANITIZE=$(SANITIZE) MRDL_LEVELS=native $(MAKE) -C build/sanitized install VENV=.venv EXTRAS=plot,test
	cd build/sanitized && LD_PRELOAD="$$(gcc -print-file-name=libasan.so) $$(gcc -print-file-name=libstdc++.so)" \
	    ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 \
	    .venv/bin/python -m pytest -q -n $(JOBS) $(SANITIZED:%=tests/%)

# what takes too long for each change: the larger ones of keras.applications
test-slow: install
	$(VENV)/bin/python -m pytest -q -m slow

# the readers of Keras's files on damaged ones; no crash, no execution, no more memory than a file has
FUZZ ?= 20000
fuzz-keras: install
	OPENBLAS_NUM_THREADS=1 $(VENV)/bin/python -W ignore tests/support/fuzz_keras.py 0 $(FUZZ)

test-oracles: install
	$(VENV)/bin/python -m pytest -q -n $(JOBS) tests/bits/test_oracles.py tests/kernels/test_kernels.py

clean:
	rm -rf build .venv* demo *.egg-info kernels/*.so kernels/v2 kernels/v3 kernels/v4 kernels/plain

.PHONY: install demo lint test test-fast test-hadoop test-faults test-nodes test-kernels test-sanitized test-slow test-oracles fuzz-keras clean
