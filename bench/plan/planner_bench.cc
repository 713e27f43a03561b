// Planning and replanning of large clusters: CPU time, the best of the repetitions, and the memory
// of the whole process. The clusters are those of bench/clusters and uneven ones like them.
#include <benchmark/benchmark.h>
#include <sys/resource.h>

#include <algorithm>

#include "base/text.h"
#include "plan/cost/roofline.h"
#include "plan/search/replan.h"

namespace skarv {
namespace {

constexpr Model k8B{128256, 4096, 32, 32, 8, 128, 14336, 8192};
constexpr Model k70B{128256, 8192, 80, 64, 8, 128, 28672, 8192};
constexpr Model k405B{128256, 16384, 126, 128, 8, 128, 53248, 8192};

struct Task {
  Run run;
  Cluster cluster;
  Profile profile;
};

// `missing`: hosts less of the first group, one less of each further one.
Task task_of(const std::string& cluster, const Model& model, int64_t batch, int missing) {
  Task task;
  task.run.model = model;
  task.run.precision = Precision::kBf16;
  task.run.global_batch = batch;
  task.run.steps = 1000;
  task.cluster = read_cluster(cat(SKARV_SOURCE_DIR, "/bench/clusters/", cluster, ".toml")).value();
  std::vector<std::string> chips;
  for (Site& site : task.cluster.sites) {
    for (HostGroup& host : site.hosts) {
      host.count -= std::max(0, missing--);
      for (const DeviceGroup& group : host.devices) {
        if (std::ranges::find(chips, group.chip) == chips.end()) chips.push_back(group.chip);
      }
    }
  }
  task.profile = estimate_profile(task.run, chips).value();
  return task;
}

void report_memory(benchmark::State& state) {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  state.counters["peak_MB"] = static_cast<double>(usage.ru_maxrss) / 1000;
}

void plan(benchmark::State& state, const std::string& cluster, const Model& model, int64_t batch,
          int missing) {
  const Task task = task_of(cluster, model, batch, missing);
  for (auto _ : state) {
    const Result<PlanReport> report = make_plan(task.run, task.cluster, task.profile);
    if (!report.ok()) return state.SkipWithError(report.status().message().c_str());
    state.counters["step_s"] = report->step_seconds;
  }
  report_memory(state);
}

// The first group of hosts loses one.
void replan_without_a_host(benchmark::State& state, const std::string& cluster, const Model& model,
                           int64_t batch) {
  const Task before = task_of(cluster, model, batch, 0), after = task_of(cluster, model, batch, 1);
  const Result<PlanReport> running = make_plan(before.run, before.cluster, before.profile);
  if (!running.ok()) return state.SkipWithError(running.status().message().c_str());
  for (auto _ : state) {
    const Result<Replanned> next = replan(running->plan, after.run, after.cluster, after.profile);
    if (!next.ok()) return state.SkipWithError(next.status().message().c_str());
    state.counters["moved_GB"] = static_cast<double>(next->moved_bytes) * 1e-9;
  }
  report_memory(state);
}

void of_each(benchmark::internal::Benchmark* bench) {
  bench->Unit(benchmark::kSecond)
      ->Iterations(1)
      ->Repetitions(5)
      ->ReportAggregatesOnly(true)
      ->ComputeStatistics("best", [](const std::vector<double>& times) {
        return *std::ranges::min_element(times);
      });
}

#define SKARV_PLANNER_BENCH(...) BENCHMARK_CAPTURE(__VA_ARGS__)->Apply(of_each)
SKARV_PLANNER_BENCH(plan, one_type_8_8B, "one_type_8", k8B, 128, 0);
SKARV_PLANNER_BENCH(plan, two_types_16_8B, "two_types_16", k8B, 128, 0);
SKARV_PLANNER_BENCH(plan, two_sites_32_8B, "two_sites_32", k8B, 256, 0);
SKARV_PLANNER_BENCH(plan, three_cities_48_8B, "three_cities_48", k8B, 256, 0);
SKARV_PLANNER_BENCH(plan, three_cities_48_70B, "three_cities_48", k70B, 256, 0);
SKARV_PLANNER_BENCH(plan, one_type_64_8B, "one_type_64", k8B, 512, 0);
SKARV_PLANNER_BENCH(plan, one_type_64_70B, "one_type_64", k70B, 512, 0);
SKARV_PLANNER_BENCH(plan, ethernet_8_8B, "ethernet_8", k8B, 128, 0);
SKARV_PLANNER_BENCH(plan, ethernet_64_8B, "ethernet_64", k8B, 512, 0);
SKARV_PLANNER_BENCH(plan, ethernet_64_70B, "ethernet_64", k70B, 512, 0);
SKARV_PLANNER_BENCH(plan, four_types_256_70B, "four_types_256", k70B, 1024, 0);
SKARV_PLANNER_BENCH(plan, eight_sites_256_8B, "eight_sites_256", k8B, 1024, 0);
SKARV_PLANNER_BENCH(plan, three_types_768_70B, "three_types_768", k70B, 2048, 0);
SKARV_PLANNER_BENCH(plan, three_types_768_405B, "three_types_768", k405B, 2048, 0);
SKARV_PLANNER_BENCH(plan, three_types_720_405B, "three_types_768", k405B, 2048, 3);
SKARV_PLANNER_BENCH(plan, two_types_4096_70B, "two_types_4096", k70B, 4096, 0);
SKARV_PLANNER_BENCH(plan, two_types_4096_405B, "two_types_4096", k405B, 4096, 0);
SKARV_PLANNER_BENCH(plan, two_types_4088_70B, "two_types_4096", k70B, 4096, 1);
SKARV_PLANNER_BENCH(plan, two_types_4088_405B, "two_types_4096", k405B, 4096, 1);
SKARV_PLANNER_BENCH(plan, four_types_16384_405B, "four_types_16384", k405B, 16384, 0);
SKARV_PLANNER_BENCH(replan_without_a_host, two_types_4096_70B, "two_types_4096", k70B, 4096);
SKARV_PLANNER_BENCH(replan_without_a_host, two_types_4096_405B, "two_types_4096", k405B, 4096);

}  // namespace
}  // namespace skarv
