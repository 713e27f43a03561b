#include "plan/simulate/step_floor.h"

#include <gtest/gtest.h>

#include "base/random.h"
#include "plan/examples.h"
#include "plan/search/pipeline_use.h"
#include "plan/simulate/island_step.h"

namespace skarv {
namespace {

constexpr int kNumHosts = 3, kPerHost = 6;

// Two sites of hosts with slow NICs, devices of different pace and memory.
Cluster random_cluster(const CounterRandom& random, uint64_t& drawn) {
  const auto draw = [&](uint64_t bound) { return random.below(drawn++, bound); };
  Cluster cluster;
  for (const char* name : {"north", "south"}) {
    Site site{name, 0, {}};
    const double bandwidth = 2e4 * static_cast<double>(1 + draw(50));
    HostGroup host{"h", kNumHosts, 0, bandwidth, 1e-4, {}};
    const double paces[] = {0, 0.5, 0.3};
    const auto memory = static_cast<int64_t>(100'000 + draw(100'000));
    host.devices.push_back({"cpu", kPerHost, memory, paces[draw(3)], ""});
    site.hosts.push_back(host);
    cluster.sites.push_back(site);
  }
  cluster.links.push_back({"north", "south", 1e5, 0.01, 0, 0});
  return cluster;
}

// Any tensor parallelism a stage, several stages a device now and then, uneven microbatches.
Island random_island(int num_layers, const CounterRandom& random, uint64_t& drawn) {
  const auto draw = [&](uint64_t bound) { return random.below(drawn++, bound); };
  std::vector<std::string> free;
  for (const char* site : {"north", "south"}) {
    for (int i = 0; i < kNumHosts * kPerHost; ++i) {
      free.push_back(cat(site, "/h", i / kPerHost, "/", i % kPerHost));
    }
  }
  const bool is_mixed = draw(2) == 0;  // devices from anywhere
  Island island{"i", {}};
  const int num_pipelines = 1 + static_cast<int>(draw(3));
  for (int p = 0; p < num_pipelines; ++p) {
    const char* rules[] = {"1f1b", "zero-bubble", "gpipe"};
    Pipeline pipeline{
        1 + static_cast<int>(draw(2)), 1 + static_cast<int64_t>(draw(9)), rules[draw(3)], {}};
    const int num_stages = 1 + static_cast<int>(draw(4));
    const bool is_doubled = num_stages > 1 && num_stages * 2 <= num_layers && draw(4) == 0;
    for (int s = 0; s < num_stages; ++s) {
      Stage stage{s * num_layers / num_stages,
                  (s + 1) * num_layers / num_stages,
                  {},
                  1 + static_cast<int>(draw(2))};
      if (draw(4) == 0) stage.recompute = Recompute::kFull;
      for (int member = 0; member < stage.tensor_parallel; ++member) {
        const size_t at = is_mixed ? draw(free.size()) : 0;
        stage.devices.push_back(free[at]);
        free.erase(free.begin() + static_cast<std::ptrdiff_t>(at));
      }
      pipeline.stages.push_back(stage);
    }
    for (int s = 0; is_doubled && s < num_stages; ++s)
      pipeline.stages.push_back(pipeline.stages[s]);
    const int all = static_cast<int>(pipeline.stages.size());
    for (int s = 0; s < all; ++s) {
      pipeline.stages[s].first = s * num_layers / all;
      pipeline.stages[s].last = (s + 1) * num_layers / all;
    }
    island.pipelines.push_back(pipeline);
  }
  return island;
}

// Of all pipelines but one.
WorkEnds ends_without(size_t left_out, const Island& island, const IslandStep& step) {
  const std::vector<PipelineUse> use = use_of(island, step);
  WorkEnds ends;
  for (size_t p = 0; p < use.size(); ++p) {
    for (size_t s = 0; p != left_out && s < use[p].stage_end_ns.size(); ++s) {
      for (const std::string& device : island.pipelines[p].stages[s].devices) {
        ends[device] = std::max(ends[device], use[p].stage_end_ns[s]);
      }
    }
  }
  return ends;
}

struct Count {
  int played = 0, dismissed = 0, given_up = 0, unfit = 0;
  void add(const IslandTrial& trial) {
    using enum IslandTrial::End;
    ++(trial.end == kPlayed      ? played
       : trial.end == kDismissed ? dismissed
       : trial.end == kGivenUp   ? given_up
                                 : unfit);
  }
};

// The bound may dismiss what takes as long as the limit or longer, and nothing else: if it were
// above the simulator's figure in any of these, the plan that needs one nanosecond less than the
// limit would not be played.
TEST(StepFloor, IsNeverAboveWhatTheSimulatorSays) {
  const skarv::Run run = small_run(64, 10);
  Profile profile = small_profile({1, 2});
  const std::vector<LayerTime> one = profile.layers;
  for (LayerTime time : one) {
    time.tensor_parallel = 2;
    time.forward /= 2, time.backward_input /= 2, time.backward_weight /= 2;
    profile.layers.push_back(time);
  }
  const Workload workload = Workload::from_run(run, profile).value();
  Count at_limit, nine_tenths, just_enough, known_at_limit;
  int work_dismisses = 0;
  for (uint64_t seed = 0; seed < 400; ++seed) {
    const CounterRandom random(seed, "step floor");
    uint64_t drawn = 0;
    const Cluster cluster = random_cluster(random, drawn);
    const Island island = random_island(run.model.num_layers(), random, drawn);
    const DeviceIndex devices = index_devices(cluster).value();
    const HostIndex hosts = index_hosts(cluster);
    const StepWorld world{workload, cluster, devices, hosts, profile, Precision::kFp32};
    const auto tried = [&](int64_t give_up_ns) {
      return try_island(island, {}, loads_of(island, workload, {}), world, give_up_ns);
    };
    const IslandStep step = simulate_island(island, {}, world).value();
    const int64_t ns = step.trace.step_ns;
    const bool fits = step.fullest_overflow() < 0;
    const IslandTrial enough = tried(ns + 1).value();
    ASSERT_EQ(enough.end, fits ? IslandTrial::End::kPlayed : IslandTrial::End::kDoesNotFit) << seed;
    if (fits) {
      ASSERT_EQ(enough.step_ns, ns) << seed;
    }
    just_enough.add(enough);
    const IslandTrial equal = tried(ns).value();
    ASSERT_NE(equal.end, IslandTrial::End::kPlayed) << seed;
    at_limit.add(equal);
    // Nor where it is known what others do.
    const WorkEnds ends = ends_without(seed % island.pipelines.size(), island, step);
    const auto known = [&](int64_t give_up_ns) {
      return try_island(island, {}, loads_of(island, workload, {}), world, give_up_ns, {}, ends)
          .value();
    };
    ASSERT_EQ(known(ns + 1).end, enough.end) << seed;
    known_at_limit.add(known(ns));
    // Nor is that of some of its pipelines alone.
    const Island some{"some", {island.pipelines[seed % island.pipelines.size()]}};
    const int64_t work = least_work(some, world).value();
    ASSERT_LE(work, ns) << seed;
    work_dismisses += work > ns - ns / 10;
    nine_tenths.add(tried(ns - ns / 10).value());
  }
  // And it is worth its name.
  EXPECT_GT(just_enough.played, 100);
  EXPECT_GT(just_enough.unfit, 20);
  EXPECT_GT(at_limit.given_up, 20);
  EXPECT_GT(at_limit.dismissed, 40) << at_limit.given_up;
  EXPECT_GT(known_at_limit.dismissed, at_limit.dismissed + 40) << at_limit.dismissed;
  EXPECT_GT(work_dismisses, 40);
  EXPECT_GT(nine_tenths.dismissed, 200) << nine_tenths.given_up;
}

}  // namespace
}  // namespace skarv
