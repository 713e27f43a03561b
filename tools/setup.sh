#!/usr/bin/env bash
# tools/setup.sh [format]: installs what building and testing need and what is missing, after saying
# what that is: Debian packages by name, and libtorch from its wheel in .venv. A second run finds
# everything and is quick. With `format` also the formatter, which only `make check` and `make format`
# use; its version decides how the sources look.
# A line a|b of packages-debian.txt: the first of these that this release of Debian has.
#   SKARV_TORCH=2.13.0      version of the wheel (2.11 to 2.15)
#   SKARV_TORCH_BUILD=cpu   cpu or cuda; default: cuda where an NVIDIA GPU answers, else cpu
#   SKARV_TORCH_INDEX=URL   package index for the cpu build, where the default index has only CUDA's
set -euo pipefail
cd "$(dirname "$0")/.."
torch=${SKARV_TORCH:-2.13.0}
gpu=no
if command -v nvidia-smi >/dev/null 2>&1 && nvidia-smi -L >/dev/null 2>&1; then gpu=yes; fi
build=${SKARV_TORCH_BUILD:-$([ $gpu = yes ] && echo cuda || echo cpu)}

fail() { printf 'setup: %s\n' "$1" >&2; exit 1; }

formatter=
if [ "${1:-}" = format ]; then formatter=clang-format-16; fi

have() {
  case "$(dpkg-query -W -f='${db:Status-Abbrev}' "$1" 2>/dev/null)" in ii*) return 0 ;; esac
  case $1 in  # a tool that is there by another road will do
    g++|cmake|git|ccache|mold|clang-format-16) command -v "$1" >/dev/null 2>&1 ;;
    ninja-build) command -v ninja >/dev/null 2>&1 ;;
    python3|python3-venv) python3 -c 'import venv, ensurepip' >/dev/null 2>&1 ;;
    *) return 1 ;;
  esac
}
known() { [ -n "$(apt-cache show "$1" 2>/dev/null)" ]; }

# What is to be installed for a line a|b, or nothing. While apt knows none of them: the whole line.
wanted() {
  local names name
  IFS='|' read -ra names <<< "$1"
  for name in "${names[@]}"; do
    if have "$name"; then return; fi
    if known "$name"; then echo "$name"; return; fi
  done
  echo "$1"
}
find_missing() {
  local line package
  missing=()
  while read -r line; do
    package=$(wanted "$line")
    [ -z "$package" ] || missing+=("$package")
  done < <(cat tools/packages-debian.txt; [ -z "$formatter" ] || echo "$formatter")
}

missing=()
if command -v dpkg-query >/dev/null 2>&1; then
  find_missing
else
  echo "setup: no dpkg here: install the packages of tools/packages-debian.txt under your system's names"
fi

have_torch=$(.venv/bin/python -c \
  'import importlib.metadata as m; print(m.version("torch"))' 2>/dev/null || echo none)
need_python=no
.venv/bin/python - <<'PY' 2>/dev/null || need_python=yes
import importlib.metadata as m, re, sys
for line in open("tools/requirements.txt"):
    name, version = re.match(r"([\w-]+)>=([\d.]+)", line).groups()
    have = [int(x) for x in re.findall(r"\d+", m.version(name))]
    if have < [int(x) for x in version.split(".")]: sys.exit(1)
PY

if [ ${#missing[@]} -eq 0 ] && [ "${have_torch%%+*}" = "$torch" ] && [ $need_python = no ]; then
  exit 0
fi

echo "Skarv needs the following, and will install it now:"
if [ ${#missing[@]} -gt 0 ]; then
  echo "  Debian packages (apt says below how large they are with all they need): ${missing[*]}"
  case "${missing[*]}" in *'|'*) echo "    of a|b the first that this release of Debian has" ;; esac
fi
if [ "${have_torch%%+*}" != "$torch" ]; then
  if [ "$build" = cuda ]; then size="CUDA build, about 3 GB to download, 7 GB on disk"
  else size="CPU build, about 200 MB to download, 0.8 GB on disk"; fi
  echo "  libtorch $torch from its wheel, into .venv ($size; NVIDIA GPU found: $gpu)"
fi
[ $need_python = no ] || echo "  Python packages for the tests, into .venv (about 300 MB): $(tr '\n' ' ' < tools/requirements.txt)"

if [ ${#missing[@]} -gt 0 ]; then
  root=()
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null 2>&1 ||
      fail "not root and no sudo: ask an administrator for: apt-get install ${missing[*]}"
    root=(sudo)
  fi
  "${root[@]}" apt-get update -qq || fail "apt-get update failed: is the network there?"
  find_missing  # now that apt knows what there is
  for package in "${missing[@]}"; do
    known "$package" || fail "this release of Debian has no package ${package//|/ or }"
  done
  echo "  apt-get install ${missing[*]}"
  "${root[@]}" env LC_ALL=C DEBIAN_FRONTEND=noninteractive apt-get install -y -q \
    --no-install-recommends "${missing[@]}" | sed -nuE 's/^(Need to get|After this) .*/    &/p' ||
    fail "apt-get could not install: ${missing[*]}"
fi

[ -x .venv/bin/python ] || python3 -m venv .venv || fail "python3 -m venv .venv failed"
pip() { .venv/bin/python -m pip --disable-pip-version-check "$@"; }
if [ "${have_torch%%+*}" != "$torch" ]; then
  from=()
  if [ "$build" = cpu ]; then
    # What would the default index give? Where that is a CUDA build, the CPU index is asked.
    offered=$(pip install --dry-run --no-deps --quiet --report - "torch==$torch" 2>/dev/null |
      .venv/bin/python -c 'import json,sys; print(json.load(sys.stdin)["install"][0]["metadata"]["version"])' \
      2>/dev/null || true)
    case "$offered:$(uname -m)" in
      *+cpu:*|*:aarch64) ;;
      *) from=(--index-url "${SKARV_TORCH_INDEX:-https://download.pytorch.org/whl/cpu}") ;;
    esac
  fi
  pip install --quiet "${from[@]}" "torch==$torch" || fail "pip could not install torch==$torch (${build})"
fi
pip install --quiet -r tools/requirements.txt || fail "pip could not install tools/requirements.txt"
echo "setup: done"
