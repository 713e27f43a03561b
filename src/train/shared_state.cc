#include "train/shared_state.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/sub.h>

#include "base/text.h"
#include "device/staging.h"
#include "device/torch_error.h"

namespace skarv::train {
namespace {

// A tensor over memory of the agent, on the host. ATen knows no read-only tensors: callers of this
// only copy from it.
at::Tensor over(std::span<const float> values) {
  return at::from_blob(const_cast<float*>(values.data()), {static_cast<int64_t>(values.size())},
                       at::TensorOptions().dtype(at::kFloat));
}

Status to_memory(const at::Tensor& tensor, std::span<float> target) {
  return copy_to_host(tensor, std::as_writable_bytes(target));
}
Status from_memory(std::span<const float> source, const at::Tensor& tensor) {
  return copy_from_host(std::as_bytes(source), tensor);
}

Status read_moments(SlabOptimizer& optimizer, const handoff::SharedMemory& memory, int parity) {
  for (int slab : optimizer.owned()) {
    SKARV_TRY(from_memory(memory.at(slab).exp_avg[parity], optimizer.exp_avg(slab)));
    SKARV_TRY(from_memory(memory.at(slab).exp_avg_sq[parity], optimizer.exp_avg_sq(slab)));
  }
  return Status();
}

double squared_sum(std::span<const float> values, std::span<const float> minus) {
  double sum = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    const double difference =
        static_cast<double>(values[i]) - (minus.empty() ? 0.0 : static_cast<double>(minus[i]));
    sum += difference * difference;
  }
  return sum;
}

}  // namespace

std::vector<int> owned_slabs(const SlabOptimizer& optimizer, const SlabTable& table, int fragment) {
  std::vector<int> slabs;
  for (int slab : optimizer.owned()) {
    if (fragment < 0 || table[slab].fragment == fragment) slabs.push_back(slab);
  }
  return slabs;
}

Status check_memory(const SlabOptimizer& optimizer, const SlabTable& table,
                    const handoff::SharedMemory& memory) {
  for (int slab : optimizer.owned()) {
    if (!memory.holds(slab)) {
      return Status(
          Code::kFailedPrecondition, Scope::kRun,
          cat("the agent's memory lacks slab ", table.name_of(slab), ", which this rank owns"));
    }
  }
  return Status();
}

Result<double> write_weights(const SlabOptimizer& optimizer, const std::vector<int>& slabs,
                             const handoff::SharedMemory& memory) {
  double sum = 0;
  for (int slab : slabs) {
    SKARV_TRY(to_memory(optimizer.master(slab), memory.at(slab).snapshot));
    sum += squared_sum(memory.at(slab).snapshot, memory.w_now(slab));
  }
  return sum;
}

Result<double> write_gradients(const SlabOptimizer& optimizer, const std::vector<int>& slabs,
                               const handoff::SharedMemory& memory) {
  double sum = 0;
  for (int slab : slabs) {
    SKARV_TRY(to_memory(optimizer.gradient(slab), memory.at(slab).snapshot));
    sum += squared_sum(memory.at(slab).snapshot, {});
  }
  return sum;
}

Status write_inner(const SlabOptimizer& optimizer, const handoff::SharedMemory& memory,
                   int parity) {
  for (int slab : optimizer.owned()) {
    const handoff::SlabMemory& target = memory.at(slab);
    SKARV_TRY(to_memory(optimizer.master(slab), target.x[parity]));
    SKARV_TRY(to_memory(optimizer.exp_avg(slab), target.exp_avg[parity]));
    SKARV_TRY(to_memory(optimizer.exp_avg_sq(slab), target.exp_avg_sq[parity]));
  }
  return Status();
}

Status read_inner(SlabOptimizer& optimizer, const handoff::SharedMemory& memory, int parity) {
  SKARV_TRY(read_moments(optimizer, memory, parity));
  for (int slab : optimizer.owned()) {
    SKARV_TRY(from_memory(memory.at(slab).x[parity], optimizer.master(slab)));
    SKARV_TRY(optimizer.publish(slab));
  }
  return Status();
}

Status read_outer(SlabOptimizer& optimizer, const handoff::SharedMemory& memory,
                  int moments_parity) {
  if (moments_parity < 0) {
    SKARV_TRY(optimizer.reset_moments());
  } else {
    SKARV_TRY(read_moments(optimizer, memory, moments_parity));
  }
  return apply_outer(optimizer, optimizer.owned(), memory, handoff::Verdict::kReset, 0);
}

Status apply_outer(SlabOptimizer& optimizer, const std::vector<int>& slabs,
                   const handoff::SharedMemory& memory, handoff::Verdict verdict, double alpha) {
  for (int slab : slabs) {
    const at::Tensor& x = optimizer.master(slab);
    Status status = guarded("apply merged weights", [&]() -> Status {
      switch (verdict) {
        case handoff::Verdict::kIncluded: {
          const at::Tensor w = over(memory.w_now(slab)).to(x.device());
          x.mul_(alpha).add_(w, 1 - alpha);
          return Status();
        }
        case handoff::Verdict::kExcluded:
          x.add_(at::sub(over(memory.w_now(slab)), over(memory.w_before(slab))).to(x.device()));
          return Status();
        case handoff::Verdict::kReset:
          return from_memory(memory.w_now(slab), x);
      }
      return bug("verdict of unknown kind");
    });
    SKARV_TRY(status);
    SKARV_TRY(optimizer.publish(slab));
  }
  return Status();
}

}  // namespace skarv::train
