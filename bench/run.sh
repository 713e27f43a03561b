#!/usr/bin/env bash
# bench/run.sh <build folder>: every bench program that was built, one after the other, then the
# model's step against PyTorch. Figures of a shared machine: read ratios and spreads, not seconds.
# Longer ones are started by hand: make bench-rivals (the planner beside other plans),
# bench/outer/compare_local.py (local updates against one process)
# and bench/prediction/demo_step.py (predicted step time beside the measured one, on a quiet machine).
set -euo pipefail
cd "$(dirname "$0")/.."
build=$1
found=0
for program in "$build"/*_bench; do
  [ -x "$program" ] || continue
  found=1
  printf '\n== %s\n' "$(basename "$program")"
  "$program" --benchmark_min_time=0.5
done
[ $found = 1 ] || { echo "bench: no bench program in $build" >&2; exit 1; }
printf '\n== a training step against PyTorch, interleaved\n'
.venv/bin/python bench/model/compare_pytorch.py
