#!/usr/bin/env python3
"""Finds the constants of src/plan/cost/constants.json from the calibration rows of the accuracy sets.

    bench/accuracy/fit.py PROGRAM [--write] [--seed N]

PROGRAM is skarv-accuracy: every price comes from it. Without --seed the rows that are not judged
calibrate: 3.6B and 18.4B of the multi-node set and every second row of the single-node and of the
V100 + T4 set. With --seed the halves of the latter two are drawn anew, half of the rows of each
combination of degrees, and the errors on the rows left out are printed beside those of the file's
constants on the same rows: the fit is sound when they hardly move. --write puts the result into the data file; rebuild afterwards.

Levenberg-Marquardt on the logarithms of the constants; the residual is log(predicted / measured)
under Cauchy's loss with the noise of the set, so that runs which something disturbed do not pull.
"""
import argparse
import json
import pathlib
import re
import subprocess
import tempfile

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
DATA_FILE = ROOT / "src/plan/cost/constants.json"

# What is fitted, from which sets (weight, noise), in the order of the file: V100 + T4 builds on A100.
FITS = {
    "a100": (
        ["matmul_fraction", "misaligned_fraction", "memory_fraction", "kernel_us", "launch_us",
         "collective_us", "network_fraction"],
        {"a100-single-node": 0.05, "a100-multi-node": 0.05},
    ),
    "v100_t4": (["network_fraction", "step_ms"], {"v100-t4": 0.1}),
}
DRAWN = {"a100-single-node", "v100-t4"}  # sets whose halves --seed draws


class Program:
    def __init__(self, path):
        self.path = path

    def rows(self, name, constants):
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump(constants, file)
            file.flush()
            out = subprocess.run(
                [self.path, "--json", "--set", name, "--constants", file.name],
                check=True, capture_output=True, text=True).stdout
        return json.loads(out)[0]["rows"]


def calibration_rows(name, rows, seed):
    """Indices of the rows that calibrate."""
    chosen = [i for i, row in enumerate(rows) if not row["judged"]]
    if seed is None or name not in DRAWN:
        return chosen
    groups = {}
    for i, row in enumerate(rows):
        groups.setdefault(re.search(r"tp\d+ dp\d+ pp\d+", row["label"])[0], []).append(i)
    random = np.random.default_rng(seed)
    spare = 0  # the odd row of a group goes to the one half, that of the next to the other
    chosen = []
    for _, group in sorted(groups.items()):
        take = (len(group) + spare) // 2
        spare = (spare + len(group)) % 2
        chosen += random.permutation(group)[:take].tolist()
    return sorted(chosen)


def residuals(program, constants, sets, seed):
    parts = []
    for name, noise in sets.items():
        rows = program.rows(name, constants)
        chosen = calibration_rows(name, rows, seed)
        error = np.log([rows[i]["predicted"] / rows[i]["measured"] for i in chosen])
        bent = np.sign(error) * np.sqrt(np.log1p((error / noise) ** 2))
        parts.append(bent / np.sqrt(len(chosen)))  # each set weighs the same
    return np.concatenate(parts)


def fit(program, constants, hardware, seed, rounds=25):
    names, sets = FITS[hardware]

    def with_values(logs):
        changed = json.loads(json.dumps(constants))
        for name, log in zip(names, logs):
            top = 1.0 if name.endswith("_fraction") else np.inf
            changed[hardware][name] = float(min(np.exp(log), top))
        return changed

    logs = np.log([constants[hardware][name] for name in names])
    now = residuals(program, with_values(logs), sets, seed)
    damping, step = 1e-2, 2e-3
    for _ in range(rounds):
        slopes = np.empty((len(now), len(logs)))
        for i in range(len(logs)):
            nudged = logs.copy()
            nudged[i] -= step
            slopes[:, i] = (now - residuals(program, with_values(nudged), sets, seed)) / step
        for _ in range(6):
            move = -np.linalg.solve(slopes.T @ slopes + damping * np.eye(len(logs)), slopes.T @ now)
            trial = logs + np.clip(move, -0.4, 0.4)
            then = residuals(program, with_values(trial), sets, seed)
            if then @ then < now @ now:
                break
            damping *= 4
        else:
            break
        gained = now @ now - then @ then
        logs, now, damping = trial, then, damping / 3
        if gained < 1e-5 * (now @ now):
            break
    result = with_values(logs)
    for name in names:
        result[hardware][name] = float(f"{result[hardware][name]:.3g}")
    return result


def figures(rows, chosen):
    errors = np.abs([rows[i]["predicted"] / rows[i]["measured"] - 1 for i in chosen]) * 100
    return f"mean {errors.mean():5.2f} %  median {np.median(errors):5.2f} %  worst {errors.max():5.1f} %"


def report(program, constants, fitted, seed):
    for _, sets in FITS.values():
        for name in sets:
            before, after = (program.rows(name, c) for c in (constants, fitted))
            used = set(calibration_rows(name, before, seed))
            left = [i for i in range(len(before)) if i not in used]
            print(f"{name}, {len(left)} rows left out")
            print(f"  constants of the file  {figures(before, left)}")
            print(f"  fitted now             {figures(after, left)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("program", type=pathlib.Path)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--seed", type=int)
    arguments = parser.parse_args()
    program = Program(arguments.program.resolve())
    constants = json.loads(DATA_FILE.read_text())
    fitted = constants
    for hardware, (names, _) in FITS.items():
        fitted = fit(program, fitted, hardware, arguments.seed)
        print(hardware, {name: fitted[hardware][name] for name in names})
    report(program, constants, fitted, arguments.seed)
    if arguments.write:
        DATA_FILE.write_text(json.dumps(fitted, indent=2) + "\n")


if __name__ == "__main__":
    main()
