"""The oracle: transformers' LlamaForCausalLM on what twin_test.cc wrote, case by case.

twin.py FOLDER...: reads case.json, initial.f32, tokens.i64, targets.i64 of each folder and writes
logits.f32 (last position), gradients.f32 (of the mean loss), losses.f32 (before each AdamW step and
after the last), weights.f32. Tensors stand one after another in the order of case.json.
"""

import json
import pathlib
import sys

import numpy
import torch
from transformers import LlamaConfig, LlamaForCausalLM


def run(folder: pathlib.Path) -> None:
    case = json.loads((folder / "case.json").read_text())
    config = LlamaConfig(**case["config"], attn_implementation="eager")
    model = LlamaForCausalLM(config).to(torch.float32).train()
    named = dict(model.named_parameters())
    names = [tensor["name"] for tensor in case["tensors"]]
    assert sorted(named) == sorted(names), (sorted(named), sorted(names))

    initial = torch.from_numpy(numpy.fromfile(folder / "initial.f32", dtype=numpy.float32))
    position = 0
    with torch.no_grad():
        for tensor in case["tensors"]:
            parameter = named[tensor["name"]]
            assert list(parameter.shape) == tensor["shape"], tensor["name"]
            parameter.copy_(initial[position : position + parameter.numel()].view_as(parameter))
            position += parameter.numel()

    def ids(name):
        return torch.from_numpy(numpy.fromfile(folder / name, dtype=numpy.int64)).view(case["batch"], -1)

    tokens, targets = ids("tokens.i64"), ids("targets.i64")

    def forward():
        logits = model(tokens).logits
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
        return logits, loss

    def write(name, tensors):
        flat = torch.cat([tensor.detach().float().flatten() for tensor in tensors])
        flat.numpy().tofile(folder / name)

    decays = {tensor["name"]: tensor["decays"] for tensor in case["tensors"]}
    optimizer = torch.optim.AdamW(
        [
            {"params": [named[n] for n in names if decays[n]], "weight_decay": case["weight_decay"]},
            {"params": [named[n] for n in names if not decays[n]], "weight_decay": 0.0},
        ],
        lr=case["learning_rate"], betas=(0.9, 0.95), eps=1e-8, foreach=False,
    )
    losses = []
    for step in range(case["steps"]):
        optimizer.zero_grad()
        logits, loss = forward()
        loss.backward()
        losses.append(loss)
        if step == 0:
            write("logits.f32", [logits[:, -1]])
            write("gradients.f32", [named[name].grad for name in names])
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    losses.append(forward()[1])
    write("losses.f32", losses)
    write("weights.f32", [named[name] for name in names])


if __name__ == "__main__":
    torch.set_num_threads(1)
    for argument in sys.argv[1:]:
        run(pathlib.Path(argument))
