#include "train/rank_backend.h"

#include <ATen/ops/empty.h>

#include <algorithm>

#include "base/text.h"
#include "device/torch_error.h"

namespace skarv::train {

RankBackend::RankBackend(const Assignment& assignment, const Device& device, ParameterStore& store,
                         SlabOptimizer& optimizer, const SampleSource& samples)
    : assignment_(assignment),
      device_(device),
      store_(store),
      optimizer_(optimizer),
      samples_(samples) {
  for (const StageMap::Seat& seat : assignment.stages.seats_of(assignment.rank)) {
    const Stage& stage = assignment.island.pipelines[seat.pipeline].stages[seat.stage];
    modules_[{seat.pipeline, seat.stage}] =
        std::make_unique<StageModule>(store, stage.first, stage.last, stage.recompute);
  }
}

Result<std::unique_ptr<RankBackend>> RankBackend::create(const Assignment& assignment,
                                                         const Device& device,
                                                         ParameterStore& store,
                                                         SlabOptimizer& optimizer,
                                                         const SampleSource& samples) {
  return guarded("build stages", [&]() -> Result<std::unique_ptr<RankBackend>> {
    std::unique_ptr<RankBackend> backend(
        new RankBackend(assignment, device, store, optimizer, samples));
    if (assignment.pace > 0) {
      SKARV_TRY(Pacer::check_share(assignment.pace));
      SKARV_ASSIGN(backend->nominal_,
                   NominalTimes::create(assignment.island, assignment.ownership, assignment.table,
                                        assignment.run.model, assignment.profile, assignment.chip,
                                        assignment.rank));
      backend->pacer_.emplace(assignment.pace, Clock::real());
    }
    return backend;
  });
}

void RankBackend::begin(StepContext context) {
  clear();
  context_ = std::move(context);
  losses_.clear();
  loss_tokens_ = 0;
  clip_ = {};
  exchanged_ = false;
  busy_ = 0;
  if (pacer_) paced_busy_before_ = pacer_->busy_seconds();
  inputs_ready_ = Clock::real().now();
  store_.zero_gradients();
}

void RankBackend::clear() {
  for (Tensors* tensors : {&inputs_, &outputs_, &output_gradients_, &input_gradients_}) {
    tensors->clear();
  }
  for (auto& [place, module] : modules_) module->clear();
}

Result<double> RankBackend::loss_sum() const {
  return guarded("sum the loss", [&]() -> Result<double> {
    double sum = 0;
    for (const at::Tensor& loss : losses_) sum += loss.item().toDouble();
    return sum;
  });
}

double RankBackend::busy_seconds() const {
  return pacer_ ? pacer_->busy_seconds() - paced_busy_before_ : busy_;
}

template <typename Work>
Result<int64_t> RankBackend::compute(const Action& action, Work&& work) {
  const Time start = Clock::real().now();
  if (pacer_) (void)pacer_->begin(inputs_ready_);
  SKARV_TRY(work());
  if (pacer_) {
    SKARV_TRY(device_.synchronize());
    (void)pacer_->end(nominal_.of(action));
  }
  busy_ += to_seconds(Clock::real().now() - start);
  return 0;
}

Result<at::Tensor> RankBackend::take(Tensors& tensors, const Action& action, const char* what) {
  auto found = tensors.find(place_of(action));
  if (found == tensors.end()) return bug(cat("the ", what, " is not there"));
  at::Tensor tensor = std::move(found->second);
  tensors.erase(found);
  return tensor;
}

Result<int64_t> RankBackend::receive(const Action& action, comm::Payload payload, Tensors& into) {
  return guarded("receive", [&]() -> Result<int64_t> {
    const Pipeline& pipeline = assignment_.island.pipelines[action.pipeline];
    const c10::ScalarType type =
        store_.precision() == Precision::kBf16 ? at::kBFloat16 : at::kFloat;
    const Model& model = assignment_.run.model;
    at::Tensor tensor =
        at::empty({pipeline.microbatch_size(action.microbatch), model.context, model.hidden},
                  at::TensorOptions().dtype(type).device(device_.torch_device()));
    SKARV_ASSIGN(
        Time arrived,
        context_.membership->edges->receive(
            action.peer, {payload, context_.step, action.pipeline, action.stage, action.microbatch},
            tensor, context_.patience));
    inputs_ready_ = std::max(inputs_ready_, arrived);
    into[place_of(action)] = tensor;
    return static_cast<int64_t>(tensor.nbytes());
  });
}

Result<int64_t> RankBackend::receive_activation(const Action& action) {
  return receive(action, comm::Payload::kActivation, inputs_);
}
Result<int64_t> RankBackend::receive_gradient(const Action& action) {
  return receive(action, comm::Payload::kGradient, output_gradients_);
}

// Tags name the stage that the tensor is for: one later, or one earlier, than the sender's.
Result<int64_t> RankBackend::send_activation(const Action& action) {
  SKARV_ASSIGN(at::Tensor output, take(outputs_, action, "output"));
  SKARV_TRY(context_.membership->edges->send(action.peer,
                                             {comm::Payload::kActivation, context_.step,
                                              action.pipeline, action.stage + 1, action.microbatch},
                                             output));
  return static_cast<int64_t>(output.nbytes());
}
Result<int64_t> RankBackend::send_gradient(const Action& action) {
  SKARV_ASSIGN(at::Tensor gradient, take(input_gradients_, action, "gradient of the input"));
  SKARV_TRY(context_.membership->edges->send(action.peer,
                                             {comm::Payload::kGradient, context_.step,
                                              action.pipeline, action.stage - 1, action.microbatch},
                                             gradient));
  return static_cast<int64_t>(gradient.nbytes());
}

Status RankBackend::run_forward(const Action& action) {
  StageModule& module = *modules_.at({action.pipeline, action.stage});
  StageInput input;
  if (module.has_embedding() || module.has_head()) {
    SKARV_ASSIGN(Tokens tokens,
                 read_tokens(samples_,
                             context_.batch.samples_of(assignment_.island, action.pipeline,
                                                       action.microbatch),
                             assignment_.run.model.context, device_.torch_device()));
    input.tokens_bt = tokens.inputs_bt;
    input.targets_bt = tokens.targets_bt;
  }
  if (!module.has_embedding()) {
    SKARV_ASSIGN(input.activation_btc, take(inputs_, action, "input"));
  }
  SKARV_ASSIGN(at::Tensor output,
               module.forward(action.microbatch, input, assignment_.gradient_scale()));
  if (module.has_head()) {
    losses_.push_back(output);
    loss_tokens_ += input.targets_bt.numel();
  } else if (assignment_.is_local(action.pipeline, action.stage + 1)) {
    inputs_[{action.pipeline, action.stage + 1, action.microbatch}] = output;
  } else {
    outputs_[place_of(action)] = output;
  }
  return Status();
}

Status RankBackend::keep_input_gradient(const Action& action, const Result<at::Tensor>& gradient) {
  if (!gradient.ok()) return gradient.status();
  if (action.stage == 0) return Status();
  if (assignment_.is_local(action.pipeline, action.stage - 1)) {
    output_gradients_[{action.pipeline, action.stage - 1, action.microbatch}] = *gradient;
  } else {
    input_gradients_[place_of(action)] = *gradient;
  }
  return Status();
}

Result<int64_t> RankBackend::forward(const Action& action) {
  return compute(action, [&] { return run_forward(action); });
}

Result<int64_t> RankBackend::backward(const Action& action) {
  return compute(action, [&]() -> Status {
    StageModule& module = *modules_.at({action.pipeline, action.stage});
    at::Tensor gradient;
    if (!module.has_head()) {
      SKARV_ASSIGN(gradient, take(output_gradients_, action, "gradient of the output"));
    }
    return keep_input_gradient(action, module.backward(action.microbatch, gradient));
  });
}

Result<int64_t> RankBackend::backward_input(const Action& action) {
  return compute(action, [&]() -> Status {
    StageModule& module = *modules_.at({action.pipeline, action.stage});
    at::Tensor gradient;
    if (!module.has_head()) {
      SKARV_ASSIGN(gradient, take(output_gradients_, action, "gradient of the output"));
    }
    return keep_input_gradient(action, module.backward_input(action.microbatch, gradient));
  });
}

Result<int64_t> RankBackend::backward_weight(const Action& action) {
  return compute(action, [&] {
    return modules_.at({action.pipeline, action.stage})->backward_weight(action.microbatch);
  });
}

Result<int64_t> RankBackend::reduce(const Action& action) {
  SKARV_ASSIGN(comm::Exchanged done,
               context_.membership->exchanges[action.group]->reduce(
                   assignment_.ownership.groups[action.group].slabs,
                   [this](int slab) { return optimizer_.gradient(slab); }, context_.patience));
  inputs_ready_ = std::max(inputs_ready_, done.arrived);
  return done.bytes;
}

Result<int64_t> RankBackend::clip(const Action&) {
  SKARV_ASSIGN(double squared_norm, optimizer_.squared_norm());
  // Between islands in gradient mode the merged gradient is what is clipped, by the keepers.
  const double max_norm = context_.exchange ? 0.0 : assignment_.run.optimizer.clip;
  SKARV_ASSIGN(clip_, comm::agree_on_clip(*context_.membership->edges, context_.step, squared_norm,
                                          max_norm, context_.patience));
  inputs_ready_ = std::max(inputs_ready_, clip_.arrived);
  return int64_t{0};
}

Result<int64_t> RankBackend::update(const Action& action) {
  if (context_.exchange && !exchanged_) {
    // Once for all groups: the outer step takes all slabs together.
    SKARV_TRY(context_.exchange());
    exchanged_ = true;
    inputs_ready_ = Clock::real().now();
  }
  return compute(action, [&]() -> Status {
    if (context_.exchange || clip_.skip) return Status();
    std::vector<int> slabs;
    for (int slab : assignment_.ownership.groups[action.group].slabs) {
      if (optimizer_.owns(slab)) slabs.push_back(slab);
    }
    return optimizer_.update(slabs, context_.step, clip_.factor);
  });
}

Result<int64_t> RankBackend::gather(const Action& action) {
  SKARV_ASSIGN(comm::Exchanged done,
               context_.membership->exchanges[action.group]->gather(
                   assignment_.ownership.groups[action.group].slabs,
                   [this](int slab) { return optimizer_.value(slab); }, context_.patience));
  inputs_ready_ = std::max(inputs_ready_, done.arrived);
  return done.bytes;
}

}  // namespace skarv::train
