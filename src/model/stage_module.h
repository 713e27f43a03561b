// A stage of the decoder on one device: layers [first, last) over a ParameterStore. It computes
// microbatches forward and backward and accumulates fp32 gradients; it knows nothing of other
// stages, of schedules or of the optimizer.
//
// Shapes: b samples, t tokens, c hidden.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>

#include "base/status.h"
#include "model/parameters.h"
#include "spec/plan.h"

namespace skarv {

struct StageInput {
  at::Tensor tokens_bt;       // int64 on the device; needed by the stage with layer 0
  at::Tensor activation_btc;  // compute precision; needed by every other stage
  at::Tensor targets_bt;      // int64; needed by the stage with the head
};

// One thread. Several microbatches may be in flight, in any order.
class StageModule {
 public:
  // `store` outlives it and holds every tensor of the layers.
  StageModule(ParameterStore& store, int first, int last, Recompute recompute);
  ~StageModule();

  bool has_embedding() const;
  bool has_head() const;

  // Forward of one microbatch; what backward needs is kept under `microbatch`. Returns the output
  // activation, or for the stage with the head the sum of the token losses in nats (fp32 scalar).
  // `gradient_scale` multiplies the loss before it is differentiated (1 / tokens of the global
  // batch makes summed gradients those of the mean); used by the head only, at forward time.
  Result<at::Tensor> forward(int microbatch, const StageInput& input, double gradient_scale);
  // Whole backward: accumulates weight gradients, frees the microbatch, returns the gradient of the
  // input activation (undefined for the first stage). `gradient_btc` is undefined for the head.
  Result<at::Tensor> backward(int microbatch, const at::Tensor& gradient_btc);
  // Zero bubble: the same in two parts; backward_weight may come any time later. The sum of both
  // equals backward bit for bit.
  Result<at::Tensor> backward_input(int microbatch, const at::Tensor& gradient_btc);
  Status backward_weight(int microbatch);

  // Without gradients: the same output; for validation.
  Result<at::Tensor> evaluate(const StageInput& input);
  // Logits [b, v] of the last position (stage with embedding and head); for sampling.
  Result<at::Tensor> last_logits(const at::Tensor& tokens_bt);

  int num_in_flight() const;
  void clear();  // forgets all microbatches in flight (after an abort)

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace skarv
