# The front door. `make help` lists what there is.
SHELL := /bin/bash
PRESET ?= release
JOBS ?= $(shell nproc)
BUILD := build/$(PRESET)

.PHONY: help setup build demo test test-all test-fast bench bench-accuracy bench-rivals check tidy format clean
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
	@echo "make tidy      clang-tidy over what differs from origin/main, else from the commit before (ALL=1: all)"

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
	@tools/setup.sh format
	@git ls-files '*.cc' '*.h' | xargs clang-format-16 --dry-run -Werror
	@cmake -DROOT=$(CURDIR) -P cmake/check_layers.cmake
	@$(MAKE) --no-print-directory PRESET=asan test-fast
	@$(MAKE) --no-print-directory PRESET=tsan test-fast

# With the compile commands of the build; a header is looked at with the .cc file of its name. Findings
# are printed and fail nothing; what clang cannot compile does.
tidy:
	@command -v clang-tidy-16 > /dev/null || \
	  { echo "make tidy: no clang-tidy-16 here. On Debian: apt-get install clang-tidy-16" >&2; exit 1; }
	@[ -f $(BUILD)/compile_commands.json ] || \
	  { echo "make tidy: no $(BUILD)/compile_commands.json: run make build first" >&2; exit 1; }
	@if [ -n "$(ALL)" ]; then git ls-files src apps; \
	  else base=$$(git rev-parse -q --verify origin/main || echo HEAD~1); \
	    git diff --name-only $$base -- src apps; fi | sed -n 's/\.h$$/.cc/; /\.cc$$/p' | sort -u | \
	  while read -r file; do [ ! -f "$$file" ] || echo "$$file"; done | \
	  xargs -r -n 1 -P $(JOBS) clang-tidy-16 --quiet -p $(BUILD) --extra-arg=-Wno-unknown-warning-option

format:
	@tools/setup.sh format
	@git ls-files '*.cc' '*.h' | xargs clang-format-16 -i

clean:
	@rm -rf build
