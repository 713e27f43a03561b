#!/usr/bin/env python3
"""The joint local-update run against one process at equal tokens, by paired seeds.

For each seed the same model sees the same number of tokens of the same corpus twice: on one island
(exact data parallel), and on two islands that exchange by local updates. Prints the gap in validation
loss with its spread beside the published gaps (DiLoCo scaling laws, 2503.09799, H = 30, two
replicas). Results are appended to a file, and a run that was interrupted is resumed from its last
checkpoint, so the bench goes on where it was. What it measured so far: README.md beside it.

  .venv/bin/python bench/outer/compare_local.py --data runs/demo/data --seeds 3
"""
import argparse, json, pathlib, statistics, subprocess, sys, time

RUN = """[run]
name = "compare"
seed = {seed}
steps = {steps}
global_batch = {batch}
precision = "{precision}"
checkpoint_every_rounds = 10
[model]
hidden = 192
blocks = 6
heads = 6
kv_heads = 3
ffn = 512
context = 128
tied_head = true
[data]
folder = "{data}"
validation_samples = 256
[optimizer]
learning_rate = {inner_rate}
warmup_steps = {warmup}
[exchange]
inner_steps = 30
overlap_steps = 1
learning_rate = {outer_rate}
momentum = {momentum}
"""
SITE = '[[site]]\nname = "{name}"\n[[site.host]]\nname = "a"\ndevices = [{{chip = "cpu", memory = "4 GB"}}]\n'
LINK = '[[link]]\nfrom = "north"\nto = "south"\nbandwidth = "1 Gbit/s"\nround_trip = "10 ms"\n'


def train(skarv, folder, seed, islands, args):
    """Trains, or goes on where an interrupted run was. Returns its closing table."""
    closing = folder / "out/closing.json"
    if closing.exists():
        return json.loads(closing.read_text())
    started = (folder / "out").exists()
    folder.mkdir(parents=True, exist_ok=True)
    # One island: outer rate 1 without momentum is plain training (protocol.md, rule 13).
    outer = (1.0, 0.0) if islands == 1 else (args.outer_rate, args.momentum)
    (folder / "run.toml").write_text(RUN.format(seed=seed, steps=args.steps, batch=args.batch,
                                                precision=args.precision,
                                                inner_rate=args.inner_rate, warmup=args.warmup,
                                                data=args.data.resolve(),
                                                outer_rate=outer[0], momentum=outer[1]))
    if islands == 1:
        text = (folder / "run.toml").read_text()
        (folder / "run.toml").write_text(text + 'upload = "identity"\ndownload = "identity"\nalpha = 1.0\n')
    names = ["north", "south"][:islands]
    (folder / "cluster.toml").write_text("".join(SITE.format(name=n) for n in names) +
                                         (LINK if islands > 1 else ""))
    profile = args.work / "profile.json"
    if not profile.exists():
        subprocess.run([skarv, "probe", folder / "run.toml", "--cluster", folder / "cluster.toml",
                        "--out", profile, "--quiet"], check=True, stdout=subprocess.DEVNULL)
    run = subprocess.run([skarv, "train", folder / "run.toml", "--cluster", folder / "cluster.toml",
                          "--profile", profile, "--out", folder / "out", "--plain", "--json"]
                         + (["--resume"] if started else []), stdout=subprocess.PIPE, text=True)
    if run.returncode != 0:
        sys.exit(f"{folder.name} did not end well; the same command goes on where it was")
    return json.loads(run.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--skarv", default="build/release/apps/skarv/skarv")
    parser.add_argument("--data", type=pathlib.Path, required=True, help="folder of skarv data")
    parser.add_argument("--work", type=pathlib.Path, default=pathlib.Path("runs/compare_local"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--batch", type=int, default=32, help="samples of 128 tokens a step")
    parser.add_argument("--inner-rate", type=float, default=3e-3, help="AdamW's, of both runs")
    parser.add_argument("--warmup", type=int, default=30, help="steps")
    parser.add_argument("--outer-rate", type=float, default=1.0)
    parser.add_argument("--momentum", type=float, default=0.0)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    results = args.work / "results.jsonl"
    done = {}

    def key(seed, islands):
        outer = "" if islands == 1 else f"-outer{args.outer_rate:g}-{args.momentum:g}"
        return (f"seed{seed}-islands{islands}-steps{args.steps}-batch{args.batch}-{args.precision}"
                f"-rate{args.inner_rate:g}{outer}")

    if results.exists():
        for line in results.read_text().splitlines():
            row = json.loads(line)
            done[row["run"]] = row
    for seed in range(1, args.seeds + 1):
        for islands in (1, 2):
            name = key(seed, islands)
            if name in done:
                continue
            began = time.time()
            closing = train(args.skarv, args.work / name, seed, islands, args)
            row = {"run": name, "tokens": closing["tokens"], "loss": closing["validation_loss"],
                   "seconds": time.time() - began}
            done[name] = row
            with results.open("a") as file:
                file.write(json.dumps(row) + "\n")
            print(f"seed {seed}, {islands} island(s): {row['loss']:.4f} nats, {row['seconds']:.0f} s",
                  file=sys.stderr)
    gaps = []
    print("seed   one process   two islands      gap")
    for seed in range(1, args.seeds + 1):
        one, two = done[key(seed, 1)], done[key(seed, 2)]
        gaps.append((two["loss"] / one["loss"] - 1) * 100)
        print(f"{seed:4}   {one['loss']:11.4f}   {two['loss']:11.4f}   {gaps[-1]:+5.2f} %")
    spread = f" (from {min(gaps):+.2f} to {max(gaps):+.2f})" if len(gaps) > 1 else ""
    print(f"\nmedian gap {statistics.median(gaps):+.2f} %{spread}, {len(gaps)} paired seeds, "
          f"{done[key(1, 1)]['tokens'] / 1e6:.2f} M tokens each, 3.2 M parameters")
    print("published, two replicas, H = 30: +0.7 % at 35 M parameters, +0.1 % at 335 M")


if __name__ == "__main__":
    main()
