// The real StepBackend: computes stages on a device, moves tensors over the island's edges and
// groups, updates the owned slabs. Holds what is in flight in a step and nothing across steps.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <tuple>
#include <vector>

#include "comm/clip.h"
#include "device/device.h"
#include "device/pace.h"
#include "model/stage_module.h"
#include "spec/nominal.h"
#include "train/assignment.h"
#include "train/batch.h"
#include "train/executor.h"
#include "train/membership.h"
#include "train/slab_optimizer.h"

namespace skarv::train {

// What one step works with.
struct StepContext {
  int64_t step = 0;
  Batch batch;
  Membership* membership = nullptr;
  Duration patience{};  // longest wait for a peer
  // Gradient mode: called instead of AdamW, once, when the island's mean gradient is with the
  // owners; on return their masters are the merged weights.
  std::function<Status()> exchange;
};

// One thread.
class RankBackend : public StepBackend {
 public:
  // All outlive it. Error: the profile lacks a time that pacing needs.
  static Result<std::unique_ptr<RankBackend>> create(const Assignment& assignment,
                                                     const Device& device, ParameterStore& store,
                                                     SlabOptimizer& optimizer,
                                                     const SampleSource& samples);

  void begin(StepContext context);
  // Forgets what is in flight, at the end of a step or after an error.
  void clear();

  Result<double> loss_sum() const;  // of the step; waits for the device
  int64_t loss_tokens() const { return loss_tokens_; }
  const comm::Clip& clip() const { return clip_; }
  double busy_seconds() const;  // of the step
  int64_t num_missed_slots() const { return pacer_ ? pacer_->num_missed_slots() : 0; }

  Result<int64_t> receive_activation(const Action& action) override;
  Result<int64_t> forward(const Action& action) override;
  Result<int64_t> send_activation(const Action& action) override;
  Result<int64_t> receive_gradient(const Action& action) override;
  Result<int64_t> backward(const Action& action) override;
  Result<int64_t> backward_input(const Action& action) override;
  Result<int64_t> backward_weight(const Action& action) override;
  Result<int64_t> send_gradient(const Action& action) override;
  Result<int64_t> reduce(const Action& action) override;
  Result<int64_t> clip(const Action& action) override;
  Result<int64_t> update(const Action& action) override;
  Result<int64_t> gather(const Action& action) override;

 private:
  using Place = std::tuple<int, int, int>;  // pipeline, stage, microbatch
  using Tensors = std::map<Place, at::Tensor>;

  RankBackend(const Assignment& assignment, const Device& device, ParameterStore& store,
              SlabOptimizer& optimizer, const SampleSource& samples);
  static Place place_of(const Action& action) {
    return {action.pipeline, action.stage, action.microbatch};
  }
  Result<at::Tensor> take(Tensors& tensors, const Action& action, const char* what);
  Result<int64_t> receive(const Action& action, comm::Payload payload, Tensors& into);
  Status run_forward(const Action& action);
  Status keep_input_gradient(const Action& action, const Result<at::Tensor>& gradient);
  template <typename Work>
  Result<int64_t> compute(const Action& action, Work&& work);

  const Assignment& assignment_;
  const Device device_;
  ParameterStore& store_;
  SlabOptimizer& optimizer_;
  const SampleSource& samples_;
  std::map<std::pair<int, int>, std::unique_ptr<StageModule>> modules_;  // pipeline, stage
  NominalTimes nominal_;
  std::optional<Pacer> pacer_;

  StepContext context_;
  Tensors inputs_, outputs_, output_gradients_, input_gradients_;
  std::vector<at::Tensor> losses_;
  int64_t loss_tokens_ = 0;
  comm::Clip clip_;
  bool exchanged_ = false;
  Time inputs_ready_{};  // when the last thing that was waited for had come
  double busy_ = 0, paced_busy_before_ = 0;
};

}  // namespace skarv::train
