// AdamW on the slabs that one rank owns: fp32 master weights and moments live here, on the rank's
// device. In fp32 the master is the parameter's value itself; in bf16 it is a copy that the value
// is rounded from.
#pragma once

#include <ATen/core/Tensor.h>

#include <map>
#include <vector>

#include "base/status.h"
#include "model/parameters.h"
#include "spec/run.h"
#include "spec/slab.h"

namespace skarv::train {

// One thread. `store` outlives it and holds the tensors of all slabs given.
class SlabOptimizer {
 public:
  SlabOptimizer(const Run& run, const SlabTable& table, const std::vector<int>& owned,
                ParameterStore& store);

  const std::vector<int>& owned() const { return owned_; }
  bool owns(int slab) const { return states_.contains(slab); }

  // Views of any slab that the store holds: 1-D, contiguous.
  at::Tensor value(int slab) const;
  at::Tensor gradient(int slab) const;
  // REQUIRES: owns(slab). fp32, 1-D.
  const at::Tensor& master(int slab) const { return states_.at(slab).master; }
  const at::Tensor& exp_avg(int slab) const { return states_.at(slab).exp_avg; }
  const at::Tensor& exp_avg_sq(int slab) const { return states_.at(slab).exp_avg_sq; }

  // Of the gradients of the owned slabs, summed in slab order.
  Result<double> squared_norm() const;
  // Step `step` (from 0) for `slabs`, which are owned; gradients are multiplied by `factor` first.
  // The bias correction counts all steps of the run, so moments that start from zero later warm up
  // by themselves (the first update is then 0.45 of a full one).
  Status update(const std::vector<int>& slabs, int64_t step, double factor);
  // Writes the master into the parameter's value, rounded to compute precision.
  Status publish(int slab);
  Status reset_moments();

 private:
  struct State {
    at::Tensor master, exp_avg, exp_avg_sq;
  };
  at::Tensor view(const at::Tensor& tensor, int slab) const;

  const Run run_;
  const SlabTable& table_;
  const std::vector<int> owned_;
  ParameterStore& store_;
  std::map<int, State> states_;
};

}  // namespace skarv::train
