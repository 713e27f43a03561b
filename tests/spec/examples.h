// Small valid files and structs that the tests of spec start from.
#pragma once

#include <string>

#include "spec/cluster.h"
#include "spec/plan.h"
#include "spec/run.h"

namespace skarv {

inline const std::string kRunToml = R"([run]
name = "demo"
seed = 3
steps = 120
global_batch = 24
precision = "fp32"

[model]
vocabulary = 256
hidden = 32
blocks = 4
heads = 4
kv_heads = 2
ffn = 48
context = 16

[data]
folder = "data"
validation_samples = 8

[optimizer]
learning_rate = 2e-3
warmup_steps = 10
shape = "wsd"

[exchange]
mode = "local"
inner_steps = 30
fragments = 2
overlap_steps = 4
detection = "5 s"
round_budget = "1 min"
)";

inline const std::string kClusterToml = R"([[site]]
name = "north"
uplink = "1 Gbit/s"

[[site.host]]
name = "a"
memory = "16 GB"
bandwidth = "10 Gbit/s"
latency = "50 us"
devices = [{chip = "cpu", pace = 0.7}, {chip = "toy", pace = 0.3, plugin = "libtoy.so"}]

[[site]]
name = "south"

[[site.host]]
name = "b"
count = 2
devices = [{chip = "h20", count = 2, memory = "90 GB"}]

[[link]]
from = "north"
to = "south"
bandwidth = "100 Mbit/s"
round_trip = "100 ms"
loss = "0.1 %"
jitter = "2 ms"
)";

inline Run example_run() { return parse_run(kRunToml, "run.toml").value(); }
inline Cluster example_cluster() { return parse_cluster(kClusterToml, "cluster.toml").value(); }

// North: one pipeline of two stages; south: two pipelines, one of two stages.
inline Json example_plan_json() {
  return parse_json(R"({"version": 1, "model": ")" + digest_of(example_run().model).hex() + R"(",
    "islands": [
      {"name": "north", "pipelines": [
        {"microbatch": 2, "microbatches": 3, "schedule": "1f1b", "stages": [
          {"layers": [0, 4], "devices": ["north/a/0"]},
          {"layers": [4, 6], "devices": ["north/a/1"], "recompute": "full"}]}]},
      {"name": "south", "pipelines": [
        {"microbatch": 4, "samples": 11, "stages": [
          {"layers": [0, 3], "devices": ["south/b0/0"]},
          {"layers": [3, 6], "devices": ["south/b0/1"]}]},
        {"microbatch": 4, "samples": 7, "stages": [
          {"layers": [0, 6], "devices": ["south/b1/[0-1]"], "tensor_parallel": 2}]}]}],
    "owner_share": {"north/a/1": 0}})",
                    "plan.json")
      .value();
}
inline Plan example_plan() { return plan_from_json(example_plan_json(), "plan.json").value(); }

}  // namespace skarv
