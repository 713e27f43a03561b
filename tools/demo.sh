#!/usr/bin/env bash
# tools/demo.sh <build folder>: the demo of `make demo`. One model, two sites, four unequal devices
# (two of them a plug-in device), joined only by an emulated WAN of 100 Mbit/s and 40 ms.
#   CORPUS=python   Python sources of the project's own environment (default)
#   CORPUS=english  an English text from a Debian package
#   CORPUS=path     any text file, folder or .jsonl file
#   PROMPT=text     what the paragraph at the end begins with; the default suits the corpus
#   OUT=runs/demo   where everything goes; a run that is there is moved aside
set -euo pipefail
cd "$(dirname "$0")/.."
bin=$1
skarv=$bin/apps/skarv/skarv
out=${OUT:-runs/demo}
corpus=${CORPUS:-python}

step() { printf '\n== %s\n' "$*"; }

if [ -e "$out" ]; then mv "$out" "$out.$(date +%Y%m%d-%H%M%S)"; fi
mkdir -p "$out"

step "1. text becomes tokens"
case $corpus in
  python)
    from=$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')
    more=(--extension .py --max-mb 24) prompt='def ' ;;
  english)
    if ! ls /usr/share/wordnet/data.noun >/dev/null 2>&1; then
      echo "installing the Debian package wordnet-base (about 30 MB) for its English text"
      root=(); [ "$(id -u)" = 0 ] || root=(sudo)
      "${root[@]}" apt-get update -qq
      "${root[@]}" apt-get install -y -qq --no-install-recommends wordnet-base >/dev/null
    fi
    # The glosses: definitions and examples behind the bar of each line.
    cut -d'|' -f2- -s /usr/share/wordnet/data.{noun,verb,adj,adv} | sed 's/^ //' > "$out/english.txt"
    from=$out/english.txt more=() prompt='a person who' ;;
  *) from=$corpus more=() prompt=$'\n' ;;
esac
$skarv data "$from" "${more[@]}" --vocabulary 4096 --out "$out/data"

step "2. the cluster: two sites, two unequal devices each (paced shares of a core)"
plugin=$(realpath "$bin/plugins/toy/libskarv_toy.so")
sed "s#PLUGIN#$plugin#" examples/demo/cluster.toml > "$out/cluster.toml"
cp examples/demo/run.toml "$out/run.toml"
$skarv probe "$out/run.toml" --cluster "$out/cluster.toml" --out "$out/profile.json"

step "3. the plan"
$skarv plan "$out/run.toml" --cluster "$out/cluster.toml" --profile "$out/profile.json" \
  --trainable --schedule 1f1b --out "$out/plan.json"

step "4. training"
$skarv train "$out/run.toml" --cluster "$out/cluster.toml" --profile "$out/profile.json" \
  --plan "$out/plan.json" --out "$out" --emulate-wan --trace

step "5. a paragraph from the exported model, by a fresh process"
$skarv generate "$out/export" --prompt "${PROMPT:-$prompt}" --tokens 120 --seed 1
