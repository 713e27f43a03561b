#include "model/stage_module.h"

#include <ATen/ops/mm.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>

#include <map>
#include <sstream>
#include <utility>

#include "device/torch_error.h"
#include "model/cross_entropy.h"
#include "model/decoder.h"

namespace skarv {
namespace {

// One microbatch between its forward and the end of its backward.
struct Flight {
  at::Tensor tokens_bt;   // kept by the stage with the embedding
  at::Tensor input;       // leaf: its gradient is what backward returns
  at::Tensor output;      // root of the graph
  at::Tensor d_output;    // made in forward by the stage with the head
  at::Tensor d_embedded;  // between the two parts of a zero-bubble backward
  WeightGradientsPtr gradients = c10::make_intrusive<WeightGradients>();
  bool input_done = false;
};

std::string describe(const at::Tensor& tensor) {
  if (!tensor.defined()) return "nothing";
  std::ostringstream out;
  out << tensor.scalar_type() << " " << tensor.sizes() << " on " << tensor.device();
  return out.str();
}

Status check_ids(const std::string& name, const at::Tensor& ids, c10::Device device) {
  if (ids.defined() && ids.dim() == 2 && ids.numel() > 0 && ids.scalar_type() == c10::kLong &&
      ids.device() == device) {
    return Status();
  }
  return bug(name + " of the stage: wanted int64 [b, t] on " + device.str() + ", got " +
             describe(ids));
}

}  // namespace

struct StageModule::State {
  State(ParameterStore& store, int first, int last, Recompute recompute)
      : store(store), decoder(store, first, last, recompute) {}

  c10::ScalarType dtype() const {
    return store.precision() == Precision::kBf16 ? c10::kBFloat16 : c10::kFloat;
  }

  Status check_activation(const std::string& name, const at::Tensor& x) const {
    if (x.defined() && x.dim() == 3 && x.numel() > 0 && x.size(2) == store.model().hidden &&
        x.scalar_type() == dtype() && x.device() == store.device()) {
      return Status();
    }
    std::ostringstream wanted;
    wanted << dtype() << " [b, t, " << store.model().hidden << "] on " << store.device();
    return bug(name + " of the stage: wanted " + wanted.str() + ", got " + describe(x));
  }

  Status check_input(const StageInput& input) const {
    if (decoder.has_embedding()) {
      SKARV_TRY(check_ids("tokens", input.tokens_bt, store.device()));
    } else {
      SKARV_TRY(check_activation("activation", input.activation_btc));
    }
    if (!decoder.has_head()) return Status();
    SKARV_TRY(check_ids("targets", input.targets_bt, store.device()));
    const at::Tensor& first = decoder.has_embedding() ? input.tokens_bt : input.activation_btc;
    if (input.targets_bt.size(0) != first.size(0) || input.targets_bt.size(1) != first.size(1)) {
      return bug("targets of the stage: " + describe(input.targets_bt) + " for an input of " +
                 describe(first));
    }
    return Status();
  }

  at::Tensor first_activation(const StageInput& input) const {
    return decoder.has_embedding() ? decoder.embed(input.tokens_bt) : input.activation_btc;
  }

  Result<CrossEntropy> head(const at::Tensor& x_btc, const at::Tensor& targets_bt,
                            std::optional<double> gradient_scale) const {
    const c10::NoGradGuard no_gradients;
    return linear_cross_entropy(x_btc.reshape({-1, x_btc.size(2)}), decoder.head(),
                                targets_bt.reshape({-1}), gradient_scale, kernel_path_of(x_btc));
  }

  Result<Flight*> find(int microbatch) {
    const auto found = flights.find(microbatch);
    if (found == flights.end()) {
      return bug("microbatch " + std::to_string(microbatch) + " is not in flight");
    }
    return &found->second;
  }

  // Runs the graph of a flight and frees it. The input's gradient stays in the leaf.
  Status differentiate(Flight& flight, const at::Tensor& gradient_btc, bool defer_weights) {
    at::Tensor d_output = flight.d_output;
    if (!decoder.has_head()) {
      SKARV_TRY(check_activation("gradient", gradient_btc));
      if (gradient_btc.sizes() != flight.output.sizes()) {
        return bug("gradient of the stage: " + describe(gradient_btc) + " for an output of " +
                   describe(flight.output));
      }
      d_output = gradient_btc;
    }
    flight.gradients->set_deferred(defer_weights);
    torch::autograd::backward({flight.output}, {d_output});
    flight.output.reset();
    flight.d_output.reset();
    if (decoder.has_embedding()) {
      flight.d_embedded = flight.input.grad();
      flight.input.reset();
    }
    return Status();
  }

  void finish_weights(Flight& flight) {
    flight.gradients->flush();
    if (decoder.has_embedding()) decoder.embed_backward(flight.tokens_bt, flight.d_embedded);
  }

  ParameterStore& store;
  Decoder decoder;
  std::map<int, Flight> flights;
};

StageModule::StageModule(ParameterStore& store, int first, int last, Recompute recompute)
    : state_(std::make_unique<State>(store, first, last, recompute)) {}
StageModule::~StageModule() = default;

bool StageModule::has_embedding() const { return state_->decoder.has_embedding(); }
bool StageModule::has_head() const { return state_->decoder.has_head(); }
int StageModule::num_in_flight() const { return static_cast<int>(state_->flights.size()); }
void StageModule::clear() { state_->flights.clear(); }

Result<at::Tensor> StageModule::forward(int microbatch, const StageInput& input,
                                        double gradient_scale) {
  return guarded("forward of a stage", [&]() -> Result<at::Tensor> {
    if (state_->flights.contains(microbatch)) {
      return bug("microbatch " + std::to_string(microbatch) + " is in flight already");
    }
    SKARV_TRY(state_->check_input(input));
    Flight flight;
    if (has_embedding()) flight.tokens_bt = input.tokens_bt;
    {
      const c10::NoGradGuard no_gradients;
      flight.input = state_->first_activation(input).detach().requires_grad_(true);
    }
    {
      const c10::AutoGradMode with_gradients(true);
      flight.output = state_->decoder.run(flight.input, flight.gradients);
    }
    at::Tensor result = flight.output.detach();
    if (has_head()) {
      SKARV_ASSIGN(CrossEntropy head, state_->head(result, input.targets_bt, gradient_scale));
      flight.d_output = head.dx_nc.view(result.sizes());
      result = head.loss;
    }
    state_->flights.emplace(microbatch, std::move(flight));
    return result;
  });
}

Result<at::Tensor> StageModule::backward(int microbatch, const at::Tensor& gradient_btc) {
  return guarded("backward of a stage", [&]() -> Result<at::Tensor> {
    SKARV_ASSIGN(Flight * flight, state_->find(microbatch));
    if (flight->input_done) {
      return bug("microbatch " + std::to_string(microbatch) + " had its backward for inputs");
    }
    SKARV_TRY(state_->differentiate(*flight, gradient_btc, /*defer_weights=*/false));
    const c10::NoGradGuard no_gradients;
    state_->finish_weights(*flight);
    at::Tensor dx = has_embedding() ? at::Tensor() : flight->input.grad();
    state_->flights.erase(microbatch);
    return dx;
  });
}

Result<at::Tensor> StageModule::backward_input(int microbatch, const at::Tensor& gradient_btc) {
  return guarded("backward of a stage for its input", [&]() -> Result<at::Tensor> {
    SKARV_ASSIGN(Flight * flight, state_->find(microbatch));
    if (flight->input_done) {
      return bug("microbatch " + std::to_string(microbatch) + " had its backward for inputs");
    }
    SKARV_TRY(state_->differentiate(*flight, gradient_btc, /*defer_weights=*/true));
    flight->input_done = true;
    if (has_embedding()) return at::Tensor();
    at::Tensor dx = flight->input.grad();
    flight->input.reset();
    return dx;
  });
}

Status StageModule::backward_weight(int microbatch) {
  return guarded("backward of a stage for its weights", [&]() -> Status {
    SKARV_ASSIGN(Flight * flight, state_->find(microbatch));
    if (!flight->input_done) {
      return bug("microbatch " + std::to_string(microbatch) + " had no backward for inputs yet");
    }
    const c10::NoGradGuard no_gradients;
    state_->finish_weights(*flight);
    state_->flights.erase(microbatch);
    return Status();
  });
}

Result<at::Tensor> StageModule::evaluate(const StageInput& input) {
  return guarded("evaluation of a stage", [&]() -> Result<at::Tensor> {
    SKARV_TRY(state_->check_input(input));
    const c10::NoGradGuard no_gradients;
    const at::Tensor x = state_->decoder.run(state_->first_activation(input), nullptr);
    if (!has_head()) return x;
    SKARV_ASSIGN(CrossEntropy head, state_->head(x, input.targets_bt, std::nullopt));
    return head.loss;
  });
}

Result<at::Tensor> StageModule::last_logits(const at::Tensor& tokens_bt) {
  return guarded("logits of a model", [&]() -> Result<at::Tensor> {
    if (!has_embedding() || !has_head()) return bug("logits need a stage of all layers");
    SKARV_TRY(check_ids("tokens", tokens_bt, state_->store.device()));
    const c10::NoGradGuard no_gradients;
    const at::Tensor x = state_->decoder.run(state_->decoder.embed(tokens_bt), nullptr);
    const at::Tensor last = x.select(1, x.size(1) - 1);
    return at::mm(last, state_->decoder.head().value.t()).to(c10::kFloat);
  });
}

}  // namespace skarv
