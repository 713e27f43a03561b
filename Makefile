# The front door. `make help` lists what there is.
SHELL := /bin/bash
PRESET ?= release
JOBS ?= $(shell nproc)
BUILD := build/$(PRESET)

.PHONY: help setup build demo test test-all bench bench-accuracy bench-rivals check format clean
help:
	@echo "make demo      set up, build, train one model on two emulated sites, show the result"
	@echo "make test      set up, build, run every test"
	@echo "make test-all  also the endurance runs (processes killed 60 times), some minutes more"
	@echo "make test-fast only the fast ones, about a minute after the build"
	@echo "make build     set up and build only (PRESET=core|dev|release|asan|tsan)"
	@echo "make bench     the speed measurements"
	@echo "make bench-accuracy  runs that others measured, priced by the simulator: errors by set"
	@echo "make bench-rivals    the planner beside uniform plans and random changes, hours; may be interrupted"
	@echo "make check     format, law of layers, the fast torch-free tests under sanitizers"

setup:
	@tools/setup.sh

build: setup
	@cmake --preset $(PRESET) > /tmp/skarv-configure.$$$$ 2>&1 || { cat /tmp/skarv-configure.$$$$; rm -f /tmp/skarv-configure.$$$$; exit 1; }; rm -f /tmp/skarv-configure.$$$$
	@cmake --build --preset $(PRESET) -j $(JOBS)

demo: build
	@tools/demo.sh $(BUILD)

test: build
	@tests/run.sh $(PRESET) -LE endurance

test-all: build
	@tests/run.sh $(PRESET)

test-fast: build
	@tests/run.sh $(PRESET) -L fast

bench: setup
	@cmake --preset bench > /dev/null && cmake --build --preset bench -j $(JOBS)
	@bench/run.sh build/bench

bench-accuracy: setup
	@cmake --preset $(PRESET) > /dev/null && cmake --build --preset $(PRESET) -j $(JOBS) --target skarv-accuracy
	@$(BUILD)/skarv-accuracy

bench-rivals: setup
	@cmake --preset $(PRESET) > /dev/null && cmake --build --preset $(PRESET) -j $(JOBS) --target skarv-rivals
	@$(BUILD)/skarv-rivals --results $(BUILD)/rivals.tsv

check: setup
	@git ls-files '*.cc' '*.h' | xargs clang-format-16 --dry-run -Werror
	@cmake -DROOT=$(CURDIR) -P cmake/check_layers.cmake
	@$(MAKE) --no-print-directory PRESET=asan test-fast
	@$(MAKE) --no-print-directory PRESET=tsan test-fast

format:
	@git ls-files '*.cc' '*.h' | xargs clang-format-16 -i

clean:
	@rm -rf build
