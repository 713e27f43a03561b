#!/usr/bin/env python3
"""The step time that `skarv plan` writes down before a run, beside the step time of the run.

Each repeat starts from nothing, as `make demo` does: probe the demo's four paced devices, plan, train
a few rounds over the emulated WAN. Prints predicted and measured step time of each repeat, the error,
and the median error, which has to be within 5 %. Repeats are appended to a file, so an interrupted
bench goes on where it was. Wants a quiet machine: a paced device that misses its slots because of
other programs is late, and the column "late" counts such actions, of all devices, per step.

  make demo     # once, for the tokens
  .venv/bin/python bench/prediction/demo_step.py --data runs/demo/data
"""
import argparse, json, pathlib, re, shutil, statistics, subprocess, sys, time

ROOT = pathlib.Path(__file__).resolve().parents[2]
PLAN = ["--trainable", "--schedule", "1f1b"]  # as tools/demo.sh


def prepare(folder, args):
    """Run and cluster file of the demo, with fewer steps."""
    folder.mkdir(parents=True)
    run = (ROOT / "examples/demo/run.toml").read_text()
    run, changed = re.subn(r"(?m)^steps = \d+", f"steps = {args.steps}", run)
    run, linked = re.subn(r'(?m)^folder = "data"', f'folder = "{args.data.resolve()}"', run)
    if changed != 1 or linked != 1:
        sys.exit("examples/demo/run.toml: expected one line each of `steps` and `folder`")
    (folder / "run.toml").write_text(run)
    plugin = (args.build / "plugins/toy/libskarv_toy.so").resolve()
    cluster = (ROOT / "examples/demo/cluster.toml").read_text().replace("PLUGIN", str(plugin))
    (folder / "cluster.toml").write_text(cluster)


def repeat(folder, args):
    prepare(folder, args)
    skarv = args.build / "apps/skarv/skarv"
    files = {name: folder / name for name in ("run.toml", "cluster.toml", "profile.json", "plan.json")}
    given = [files["run.toml"], "--cluster", files["cluster.toml"]]

    def call(verb, *more):
        subprocess.run([skarv, verb, *given, *more], check=True, stdout=subprocess.DEVNULL)

    call("probe", "--out", files["profile.json"], "--quiet")
    call("plan", "--profile", files["profile.json"], *PLAN, "--out", files["plan.json"])
    call("train", "--profile", files["profile.json"], "--plan", files["plan.json"], "--out",
         folder / "out", "--emulate-wan", "--plain", "--quiet")
    closing = json.loads((folder / "out/closing.json").read_text())
    devices = [device for island in closing["islands"] for device in island["devices"]]
    return {"predicted": closing["predicted_step_seconds"], "measured": closing["step_seconds"],
            "late": sum(device["missed_slots"] for device in devices) / args.steps}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=pathlib.Path("build/release"))
    parser.add_argument("--data", type=pathlib.Path, required=True, help="folder of skarv data")
    parser.add_argument("--work", type=pathlib.Path, default=pathlib.Path("runs/prediction"))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--steps", type=int, default=60, help="a multiple of 20, the inner steps")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    results = args.work / "results.jsonl"
    rows = [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []
    while len(rows) < args.repeats:
        folder = args.work / f"repeat{len(rows) + 1}-{int(time.time())}"
        row = repeat(folder, args)
        shutil.rmtree(folder)
        rows.append(row)
        with results.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(f"repeat {len(rows)} of {args.repeats}", file=sys.stderr)
    print("repeat   predicted    measured     error   late")
    errors = []
    for number, row in enumerate(rows[: args.repeats], 1):
        errors.append((row["predicted"] / row["measured"] - 1) * 100)
        print(f"{number:6}   {row['predicted'] * 1e3:6.1f} ms   {row['measured'] * 1e3:6.1f} ms   "
              f"{errors[-1]:+5.1f} %   {row['late']:4.1f}")
    median = statistics.median(errors)
    print(f"\nmedian error {median:+.1f} % (from {min(errors):+.1f} to {max(errors):+.1f})")
    sys.exit(0 if abs(median) <= 5 else 1)


if __name__ == "__main__":
    main()
