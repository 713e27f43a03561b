#!/usr/bin/env python3
"""Step time of the decoder against PyTorch eager and torch.compile, in one interleaved run.

    cmake --preset bench && ninja -C build/bench skarv_model_step
    .venv/bin/python bench/model/compare_pytorch.py [--threads 2] [--rounds 30]

Every side is a process that waits while the others work. A round is one step of each, in rotating
order; the figure is the median over rounds of the ratio within a round, so slow drifts of the
machine cancel. A second process of our own is the control: its ratio shows what noise does.
A step: zero gradients, forward, backward. fp32, d256, 6 layers, 8/4 heads, ffn 704, vocabulary
8192, batch 8 x 256.
"""

import argparse
import os
import pathlib
import statistics
import subprocess
import sys
import time

VOCABULARY, HIDDEN, LAYERS, HEADS, KV_HEADS, HEAD_DIM, FFN = 8192, 256, 6, 8, 4, 32, 704
BATCH, TOKENS = 8, 256
ROOT = pathlib.Path(__file__).resolve().parents[2]


def pytorch_side(compiled: bool, threads: int) -> None:
    import torch
    from torch import nn
    from torch.nn import functional as F

    torch.set_num_threads(threads)
    torch.manual_seed(1)

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            linear = lambda inputs, outputs: nn.Linear(inputs, outputs, bias=False)
            self.norm1, self.norm2 = nn.RMSNorm(HIDDEN, 1e-5), nn.RMSNorm(HIDDEN, 1e-5)
            self.q, self.o = linear(HIDDEN, HEADS * HEAD_DIM), linear(HEADS * HEAD_DIM, HIDDEN)
            self.k, self.v = (linear(HIDDEN, KV_HEADS * HEAD_DIM) for _ in range(2))
            self.gate, self.up = linear(HIDDEN, FFN), linear(HIDDEN, FFN)
            self.down = linear(FFN, HIDDEN)

        def forward(self, x, cosine, sine):
            def heads(y, num):
                return y.view(BATCH, TOKENS, num, HEAD_DIM).transpose(1, 2)

            def turn(y):
                first, second = y.chunk(2, -1)
                return y * cosine + torch.cat((-second, first), -1) * sine

            y = self.norm1(x)
            q, k, v = heads(self.q(y), HEADS), heads(self.k(y), KV_HEADS), heads(self.v(y), KV_HEADS)
            y = F.scaled_dot_product_attention(turn(q), turn(k), v, is_causal=True, enable_gqa=True)
            x = x + self.o(y.transpose(1, 2).reshape(BATCH, TOKENS, HEADS * HEAD_DIM))
            y = self.norm2(x)
            return x + self.down(F.silu(self.gate(y)) * self.up(y))

    class Decoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(VOCABULARY, HIDDEN)
            self.blocks = nn.ModuleList(Block() for _ in range(LAYERS))
            self.norm, self.head = nn.RMSNorm(HIDDEN, 1e-5), nn.Linear(HIDDEN, VOCABULARY, bias=False)
            frequency = 10000.0 ** (-torch.arange(0, HEAD_DIM, 2) / HEAD_DIM)
            angle = torch.arange(TOKENS)[:, None] * frequency
            angle = torch.cat((angle, angle), -1)
            self.register_buffer("cosine", angle.cos())
            self.register_buffer("sine", angle.sin())
            for parameter in self.parameters():
                if parameter.dim() == 2:
                    nn.init.normal_(parameter, std=0.02)

        def forward(self, tokens, targets):
            x = self.embedding(tokens)
            for block in self.blocks:
                x = block(x, self.cosine, self.sine)
            return F.cross_entropy(self.head(self.norm(x)).view(-1, VOCABULARY), targets.view(-1))

    model = Decoder()
    run = torch.compile(model) if compiled else model
    tokens, targets = torch.randint(VOCABULARY, (2, BATCH, TOKENS))
    for line in sys.stdin:
        for _ in range(int(line)):
            begin = time.perf_counter()
            model.zero_grad(set_to_none=True)
            loss = run(tokens, targets)
            loss.backward()
            print("%.3f" % ((time.perf_counter() - begin) * 1e3), end=" ")
        print("%.5f" % loss.item(), flush=True)


class Side:
    def __init__(self, name, command, threads):
        environment = dict(os.environ, OMP_NUM_THREADS=str(threads), MKL_NUM_THREADS=str(threads))
        self.name, self.times = name, []
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)

    def steps(self, num):
        self.process.stdin.write("%d\n" % num)
        self.process.stdin.flush()
        answer = self.process.stdout.readline().split()
        if len(answer) != num + 1:
            sys.exit("%s stopped: its message is above" % self.name)
        return [float(value) for value in answer]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default=ROOT / "build/bench", help="build folder")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--side", choices=("eager", "compile"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        return pytorch_side(options.side == "compile", options.threads)

    own = pathlib.Path(options.build) / "bench/model/skarv_model_step"
    if not own.exists():
        sys.exit("no %s: cmake --preset bench && ninja -C build/bench skarv_model_step" % own)
    python = [sys.executable, __file__, "--threads", str(options.threads), "--side"]
    sides = [
        Side("skarv", [own, str(options.threads)], options.threads),
        Side("skarv (control)", [own, str(options.threads)], options.threads),
        Side("PyTorch eager", python + ["eager"], options.threads),
        Side("torch.compile", python + ["compile"], options.threads),
    ]
    for side in sides:  # compiles, fills caches; all start at the loss of a uniform guess
        loss = side.steps(3)[-1]
        if abs(loss - 9.05) > 0.1:
            sys.exit("%s starts at loss %.3f, not near ln %d" % (side.name, loss, VOCABULARY))
    for round_index in range(options.rounds):
        for offset in range(len(sides)):
            side = sides[(round_index + offset) % len(sides)]
            side.times.append(side.steps(1)[0])
    for side in sides:
        side.process.stdin.close()
        side.process.wait()

    print("%d threads, %d rounds" % (options.threads, options.rounds))
    print("%-17s %10s %10s   %s" % ("", "median ms", "minimum ms", "time / skarv: median [quartiles]"))
    for side in sides:
        ratios = [a / b for a, b in zip(side.times, sides[0].times)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        print("%-17s %10.1f %10.1f   %.3f [%.3f, %.3f]" % (
            side.name, statistics.median(side.times), min(side.times), middle, low, high))


if __name__ == "__main__":
    main()
