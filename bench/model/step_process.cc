// The C++ side of compare_pytorch.py: reads a number of steps per line from stdin and answers with
// the milliseconds of each and the last loss per token. A step: zero gradients, forward, backward.
#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>

#include <cstdio>
#include <cstdlib>
#include <numeric>

#include "base/clock.h"
#include "base/random.h"
#include "device/cpu_memory.h"
#include "model/stage_module.h"

namespace {

using namespace skarv;

// The reference configuration; compare_pytorch.py has the same.
Model reference_model() {
  return {.vocabulary = 8192,
          .hidden = 256,
          .num_blocks = 6,
          .num_heads = 8,
          .num_kv_heads = 4,
          .head_dim = 32,
          .ffn = 704,
          .context = 256};
}

at::Tensor random_ids(int64_t batch, const Model& model, uint64_t seed) {
  at::Tensor ids = at::empty({batch, model.context}, at::TensorOptions().dtype(c10::kLong));
  const CounterRandom random(seed, "bench");
  for (int64_t i = 0; i < ids.numel(); ++i) {
    ids.data_ptr<int64_t>()[i] = static_cast<int64_t>(random.below(i, model.vocabulary));
  }
  return ids;
}

int fail(const Status& status) {
  std::fprintf(stderr, "%s\n", status.to_string().c_str());
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: skarv_model_step THREADS  (compare_pytorch.py starts it)\n");
    return 2;
  }
  count_cpu_memory();  // as a worker does
  at::set_num_threads(std::atoi(argv[1]));
  const Model model = reference_model();
  constexpr int64_t kBatch = 8;
  std::vector<int> all(tensors_of(model).size());
  std::iota(all.begin(), all.end(), 0);
  ParameterStore store(model, all, Precision::kFp32, c10::Device(c10::kCPU));
  store.initialise(1);
  StageModule stage(store, 0, model.num_layers(), Recompute::kNone);
  const StageInput input{random_ids(kBatch, model, 1), at::Tensor(), random_ids(kBatch, model, 2)};
  const double num_tokens = static_cast<double>(input.tokens_bt.numel());

  int num_steps = 0;
  while (std::scanf("%d", &num_steps) == 1) {
    double loss = 0;
    for (int i = 0; i < num_steps; ++i) {
      const Time begin = Clock::real().now();
      store.zero_gradients();
      const Result<at::Tensor> sum = stage.forward(0, input, 1 / num_tokens);
      if (!sum.ok()) return fail(sum.status());
      loss = sum.value().item<float>() / num_tokens;
      const Result<at::Tensor> done = stage.backward(0, at::Tensor());
      if (!done.ok()) return fail(done.status());
      std::printf("%.3f ", to_seconds(Clock::real().now() - begin) * 1e3);
    }
    std::printf("%.5f\n", loss);
    std::fflush(stdout);
  }
  return 0;
}
