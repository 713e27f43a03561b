// A whole island in this process: each rank is a thread with a trainer, connected over src/net and
// Gloo; the agent's memory is shared by all. What the tests of "one curve" run.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "spec/plan.h"
#include "spec/run.h"
#include "spec/schedule.h"
#include "train/executor.h"
#include "train/sample_source.h"

namespace skarv::train {

// Tokens with a structure to learn: mostly token' = (5 token + 3) mod vocabulary.
class PatternSource : public SampleSource {
 public:
  explicit PatternSource(int64_t vocabulary) : vocabulary_(vocabulary) {}
  Status read(uint64_t counter, std::span<int32_t> out) const override;

 private:
  const int64_t vocabulary_;
};

// A decoder of 4 blocks, 12 samples a step, AdamW with clipping and warm-up.
Run tiny_run(int64_t steps);

struct StageOf {
  int first, last;
  std::string device;  // "north/a/0"
};
Pipeline pipeline_of(int microbatch, int64_t samples, const std::vector<StageOf>& stages);

struct IslandSpec {
  Run run;
  std::vector<Pipeline> pipelines;
  uint64_t schedule_seed = 1;
  std::string transport = "mem";
  std::map<std::string, std::string> makers;  // by device; "cpu" where absent
  std::map<std::string, double> owner_share;
};

struct Curve {
  std::vector<double> losses;                       // mean, by step
  std::vector<double> norms;                        // by step
  std::vector<std::vector<float>> first_gradients;  // by slab, as summed at its owner in step 0
  std::vector<std::vector<float>> weights;          // by slab, at the end, of the owner
  std::vector<std::vector<float>> replicas;         // by slab, at the end, of the last holder
  Schedule schedule;
  std::vector<std::vector<ActionRecord>> records;  // by rank, of the last step
  double seconds = 0;
};

IslandSpec one_device(const Run& run);  // of tiny_run's batch
Plan plan_of(const IslandSpec& spec);
Schedule schedule_of(const IslandSpec& spec, const Plan& plan);

// Fails the test on any error. `torch_devices`: libtorch name by maker, "cpu" where absent.
Curve train(const IslandSpec& spec, int64_t num_steps);

// Another layout or maker, the same numbers: each slab's first gradient within a part of its norm,
// each step's loss within a part of itself; receivers have the owner's weights bit for bit.
void expect_same(const Curve& curve, const Curve& expected, double gradient_tolerance = 1e-5,
                 double loss_tolerance = 1e-4);

}  // namespace skarv::train
