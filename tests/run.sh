#!/usr/bin/env bash
# tests/run.sh <preset> [ctest arguments]: runs the tests, then holds the skipped ones against
# tests/skips.txt. A skip that is not listed there, with its reason, is a failure.
set -uo pipefail
cd "$(dirname "$0")/.."
preset=$1; shift
log=$(mktemp); trap 'rm -f "$log"' EXIT
ctest --preset "$preset" -j "$(nproc)" --no-tests=error "$@" 2>&1 | tee "$log"
status=${PIPESTATUS[0]}

skipped=$(sed -nE 's/^[[:space:]]*[0-9]+ - (.*) \(Skipped\).*/\1/p' "$log")
unlisted=0
while read -r test; do
  [ -n "$test" ] || continue
  reason=""
  while IFS='|' read -r pattern why; do
    case "$pattern" in ''|'#'*) continue ;; esac
    pattern=$(echo $pattern)
    # shellcheck disable=SC2254
    case "$test" in $pattern) reason=$(echo $why) ;; esac
  done < tests/skips.txt
  if [ -n "$reason" ]; then echo "skipped: $test: $reason"
  else echo "skipped without a line in tests/skips.txt: $test"; unlisted=1; fi
done <<< "$skipped"
[ $unlisted = 0 ] || status=1
exit "$status"
