"""read_export.py <export> <samples.json>: the mean loss of the samples (rows of ids; the last id
is a target only) and the greedy continuation of "prompt" by "tokens" ids, from transformers'
own implementation of the model. Prints JSON; the logits of each sample's last position go to the
file "logits", as raw fp32."""
import json
import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

export, request = sys.argv[1], json.load(open(sys.argv[2]))
torch.set_num_threads(1)
model = AutoModelForCausalLM.from_pretrained(export, dtype=torch.float32).eval()
tokenizer = AutoTokenizer.from_pretrained(export)

with torch.no_grad():
    samples = torch.tensor(request["samples"])
    logits = model(samples[:, :-1]).logits
    logits[:, -1].contiguous().numpy().tofile(request["logits"])
    loss = torch.nn.functional.cross_entropy(
        logits.double().flatten(0, 1), samples[:, 1:].flatten()
    ).item()

    prompt = tokenizer(request["prompt"], add_special_tokens=False, return_tensors="pt")
    ids = model.generate(
        **prompt, do_sample=False, max_new_tokens=request["tokens"], use_cache=False
    )[0]
    if ids[-1] == model.generation_config.eos_token_id:
        ids = ids[:-1]
print("RESULT", json.dumps({"loss": loss, "text": tokenizer.decode(ids)}))
