#include "train/slab_optimizer.h"

#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/full.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros_like.h>

#include "device/torch_error.h"

namespace skarv::train {

SlabOptimizer::SlabOptimizer(const Run& run, const SlabTable& table, const std::vector<int>& owned,
                             ParameterStore& store)
    : run_(run), table_(table), owned_(owned), store_(store) {
  for (int slab : owned_) {
    State& state = states_[slab];
    state.master = store.precision() == Precision::kFp32 ? value(slab) : value(slab).to(at::kFloat);
    state.exp_avg = at::zeros_like(state.master);
    state.exp_avg_sq = at::zeros_like(state.master);
  }
}

at::Tensor SlabOptimizer::view(const at::Tensor& tensor, int slab) const {
  return tensor.view({-1}).narrow(0, table_[slab].begin, table_[slab].size());
}
at::Tensor SlabOptimizer::value(int slab) const {
  return view(store_.parameter(table_[slab].tensor).value, slab);
}
at::Tensor SlabOptimizer::gradient(int slab) const {
  return view(store_.parameter(table_[slab].tensor).gradient, slab);
}

Result<double> SlabOptimizer::squared_norm() const {
  return guarded("gradient norm", [&]() -> Result<double> {
    if (owned_.empty()) return 0.0;
    std::vector<at::Tensor> norms;
    for (int slab : owned_) norms.push_back(at::linalg_vector_norm(gradient(slab)));
    // One copy to the host for all slabs.
    const at::Tensor host = at::stack(norms).cpu();
    double sum = 0;
    for (int64_t i = 0; i < host.numel(); ++i) {
      const double norm = host.data_ptr<float>()[i];
      sum += norm * norm;
    }
    return sum;
  });
}

Status SlabOptimizer::update(const std::vector<int>& slabs, int64_t step, double factor) {
  return guarded("optimizer step", [&] {
    const OptimizerSettings& settings = run_.optimizer;
    const double learning_rate = learning_rate_at(run_, step);
    for (const bool decays : {true, false}) {
      std::vector<at::Tensor> masters, gradients, exp_avgs, exp_avg_sqs, steps;
      for (int slab : slabs) {
        if (table_.tensor_of(slab).decays != decays) continue;
        State& state = states_.at(slab);
        masters.push_back(state.master);
        gradients.push_back(gradient(slab));
        if (factor != 1.0) gradients.back().mul_(factor);
        exp_avgs.push_back(state.exp_avg);
        exp_avg_sqs.push_back(state.exp_avg_sq);
        steps.push_back(
            at::full({}, static_cast<double>(step + 1), state.master.options().dtype(at::kFloat)));
      }
      if (masters.empty()) continue;
      at::_fused_adamw_(masters, gradients, exp_avgs, exp_avg_sqs, {}, steps, learning_rate,
                        settings.beta1, settings.beta2, decays ? settings.weight_decay : 0.0,
                        settings.epsilon, /*amsgrad=*/false, /*maximize=*/false);
    }
    for (int slab : slabs) {
      if (store_.precision() != Precision::kFp32) value(slab).copy_(states_.at(slab).master);
    }
  });
}

Status SlabOptimizer::publish(int slab) {
  if (store_.precision() == Precision::kFp32) return Status();
  return guarded("publish weights", [&] { value(slab).copy_(states_.at(slab).master); });
}

Status SlabOptimizer::reset_moments() {
  return guarded("reset moments", [&] {
    for (auto& [slab, state] : states_) {
      state.exp_avg.zero_();
      state.exp_avg_sq.zero_();
    }
  });
}

}  // namespace skarv::train
