#include "island.h"

#include <ATen/core/Tensor.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <mutex>
#include <thread>

#include "base/random.h"
#include "device/numerics.h"
#include "net/transport.h"
#include "shared_memory.h"
#include "support/random_schedule.h"
#include "train/trainer.h"

namespace skarv::train {
namespace {

std::vector<float> floats_of(const at::Tensor& tensor) {
  const at::Tensor host = tensor.to(at::kCPU, at::kFloat).contiguous();
  return {host.data_ptr<float>(), host.data_ptr<float>() + host.numel()};
}

double distance(const std::vector<float>& a, const std::vector<float>& b) {
  EXPECT_EQ(a.size(), b.size());
  double difference = 0, norm = 0;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    difference += (a[i] - b[i]) * (a[i] - b[i]);
    norm += a[i] * a[i];
  }
  return std::sqrt(difference / std::max(norm, 1e-30));
}

class NoHost : public TrainerHost {
 public:
  Status report(const handoff::Message&) override { return Status(); }
  Result<handoff::ApplyOrder> await_apply(int64_t) override { return bug("no exchange here"); }
};

std::string fresh_folder() {
  static std::atomic<int> count{0};
  const auto folder =
      std::filesystem::path(testing::TempDir()) /
      ("skarv-island-" + std::to_string(::getpid()) + "-" + std::to_string(++count));
  std::filesystem::create_directories(folder);
  return folder.string();
}

}  // namespace

Status PatternSource::read(uint64_t counter, std::span<int32_t> out) const {
  const CounterRandom random(7, "sample " + std::to_string(counter));
  auto token = static_cast<int64_t>(random.below(0, static_cast<uint64_t>(vocabulary_)));
  for (size_t i = 0; i < out.size(); ++i) {
    out[i] = static_cast<int32_t>(token);
    const bool noise = random.below(2 * i + 1, 10) == 0;
    token = noise ? static_cast<int64_t>(random.below(2 * i + 2, vocabulary_))
                  : (5 * token + 3) % vocabulary_;
  }
  return Status();
}

Run tiny_run(int64_t steps) {
  Run run;
  run.model = {.vocabulary = 96,
               .hidden = 32,
               .num_blocks = 4,
               .num_heads = 4,
               .num_kv_heads = 2,
               .head_dim = 8,
               .ffn = 64,
               .context = 16};
  run.seed = 11;
  run.global_batch = 12;
  run.steps = steps;
  run.exchange.inner_steps = 2;
  run.optimizer.learning_rate = 3e-3;
  run.optimizer.warmup_steps = 5;
  return run;
}

Pipeline pipeline_of(int microbatch, int64_t samples, const std::vector<StageOf>& stages) {
  Pipeline pipeline{.microbatch = microbatch, .samples = samples};
  for (const StageOf& stage : stages) {
    pipeline.stages.push_back(
        {.first = stage.first, .last = stage.last, .devices = {stage.device}});
  }
  return pipeline;
}

IslandSpec one_device(const Run& run) {
  return {.run = run, .pipelines = {pipeline_of(12, 12, {{0, 6, "north/a/0"}})}};
}

Plan plan_of(const IslandSpec& spec) {
  Plan plan;
  plan.model = digest_of(spec.run.model);
  plan.islands = {Island{"north", spec.pipelines}};
  plan.owner_share = spec.owner_share;
  return plan;
}

Schedule schedule_of(const IslandSpec& spec, const Plan& plan) {
  const SlabTable table(spec.run.model, spec.run.exchange.num_fragments);
  return random_schedule(plan.islands[0], ownership_of(plan.islands[0], plan, table), table,
                         spec.run.model, spec.run.precision, spec.schedule_seed);
}

Curve train(const IslandSpec& spec, int64_t num_steps) {
  Curve curve;
  const Plan plan = plan_of(spec);
  curve.schedule = schedule_of(spec, plan);
  const SlabTable table(spec.run.model, spec.run.exchange.num_fragments);
  const handoff::SharedMemory memory = genesis_memory(table, spec.run.seed);
  const PatternSource samples(spec.run.model.vocabulary);
  const size_t num_ranks = curve.schedule.devices.size();
  curve.losses.assign(num_steps, 0);
  curve.norms.assign(num_steps, 0);
  for (auto* arrays : {&curve.first_gradients, &curve.weights, &curve.replicas}) {
    arrays->resize(table.size());
  }
  curve.records.resize(num_ranks);

  handoff::Connect connect{.incarnation = 1, .store = fresh_folder()};
  auto transport = net::make_transport(spec.transport).value();
  std::vector<std::unique_ptr<comm::Lobby>> lobbies;
  for (const std::string& device : curve.schedule.devices) {
    net::Options options{.run = "test", .name = device};
    lobbies.push_back(comm::Lobby::open(transport, "127.0.0.1:0", options).value());
    connect.addresses.push_back(lobbies.back()->address());
    const auto maker = spec.makers.find(device);
    connect.makers.push_back(maker == spec.makers.end() ? "cpu" : maker->second);
  }

  std::mutex mutex;
  std::atomic<size_t> num_left{num_ranks};
  const std::atomic<bool> cancelled{false};
  const auto run_rank = [&](int rank) {
    auto assignment =
        Assignment::create(spec.run, plan, Profile{}, curve.schedule, "north", rank).value();
    const Device device = Device::open(connect.makers[rank]).value();
    ASSERT_TRUE(device.make_current().ok());
    ASSERT_TRUE(apply(Numerics{.num_threads = 1}).ok());
    Progress progress;
    auto trainer =
        Trainer::create(assignment, device, samples, memory, progress, std::chrono::seconds(20));
    ASSERT_TRUE(trainer.ok()) << trainer.status();
    Status status = (*trainer)->join(connect, *lobbies[rank], cancelled);
    ASSERT_TRUE(status.ok()) << status;
    status = (*trainer)->load({});
    ASSERT_TRUE(status.ok()) << status;
    NoHost host;
    for (int64_t step = 0; step < num_steps; ++step) {
      const auto first = static_cast<uint64_t>(step * spec.run.global_batch);
      const auto done = (*trainer)->run(
          {.step = step, .samples = {{first, first + spec.run.global_batch}}}, host);
      ASSERT_TRUE(done.ok()) << done.status();
      std::lock_guard lock(mutex);
      curve.losses[step] += done->loss_sum / static_cast<double>(assignment->tokens_per_step());
      curve.norms[step] = done->gradient_norm;
      if (step > 0) continue;
      for (int slab : (*trainer)->optimizer().owned()) {
        curve.first_gradients[slab] = floats_of((*trainer)->optimizer().gradient(slab));
      }
    }
    // Nobody leaves before all are done, so that leaving is not taken for a failure.
    --num_left;
    while (num_left > 0 && !testing::Test::HasFatalFailure()) std::this_thread::yield();
    std::lock_guard lock(mutex);
    curve.records[rank] = (*trainer)->records();
    for (int slab = 0; slab < table.size(); ++slab) {
      if (!(*trainer)->parameters().holds(table[slab].tensor)) continue;
      const std::vector<float> value = floats_of((*trainer)->optimizer().value(slab));
      if ((*trainer)->optimizer().owns(slab)) curve.weights[slab] = value;
      if (rank >= static_cast<int>(num_ranks) - 1 || curve.replicas[slab].empty() ||
          !(*trainer)->optimizer().owns(slab)) {
        curve.replicas[slab] = value;
      }
    }
  };
  const Time start = Clock::real().now();
  std::vector<std::thread> threads;
  for (size_t rank = 0; rank < num_ranks; ++rank) {
    threads.emplace_back([&, rank] { run_rank(static_cast<int>(rank)); });
  }
  for (std::thread& thread : threads) thread.join();
  curve.seconds = to_seconds(Clock::real().now() - start);
  std::filesystem::remove_all(connect.store);
  return curve;
}

void expect_same(const Curve& curve, const Curve& expected, double gradient_tolerance,
                 double loss_tolerance) {
  double worst_gradient = 0, worst_loss = 0;
  for (size_t slab = 0; slab < expected.first_gradients.size(); ++slab) {
    const double apart = distance(expected.first_gradients[slab], curve.first_gradients[slab]);
    EXPECT_LE(apart, gradient_tolerance) << "slab " << slab;
    worst_gradient = std::max(worst_gradient, apart);
    EXPECT_EQ(curve.weights[slab], curve.replicas[slab]) << "slab " << slab;
  }
  for (size_t step = 0; step < expected.losses.size(); ++step) {
    const double apart = std::abs(curve.losses[step] / expected.losses[step] - 1);
    EXPECT_LE(apart, loss_tolerance) << "step " << step;
    worst_loss = std::max(worst_loss, apart);
  }
  testing::Test::RecordProperty("worst_gradient", std::to_string(worst_gradient));
  std::printf("worst: gradient %.2g, loss %.2g; loss %.3f -> %.3f in %.1f s\n", worst_gradient,
              worst_loss, curve.losses.front(), curve.losses.back(), curve.seconds);
}

}  // namespace skarv::train
