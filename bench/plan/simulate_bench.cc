// Actions a second of the step simulator, and whole steps of thousands of devices.
#include <benchmark/benchmark.h>
#include <sys/resource.h>

#include "base/text.h"
#include "plan/simulate/island_step.h"

namespace skarv {
namespace {

// A model of `num_layers` blocks on hosts of eight chips: pipelines of `num_stages` stages, tensor
// parallel within a host. Every second pipeline runs on the slower chip.
struct Scene {
  Workload workload{4096, {}, {}};
  Cluster cluster;
  DeviceIndex devices;
  HostIndex hosts;
  Profile links;
  Island island{"s", {}};

  Scene(int num_devices, int num_stages, int degree, int num_microbatches, int num_layers) {
    std::vector<LayerSize> sizes(num_layers, {200'000'000, int64_t{4096} * 8192 * 2});
    workload = Workload(4096, sizes, std::vector<int>(num_layers, 0));
    for (int i = 0; i < 2; ++i) {
      const double scale = i == 0 ? 1 : 2.1;
      workload.add(i == 0 ? "a100-sxm-80" : "h20", 0, degree,
                   {1, 0.004 * scale, 0.0043 * scale, 0.0037 * scale, 0.001, 3e8, 5e7});
    }
    const int per_pipeline = num_stages * degree, num_pipelines = num_devices / per_pipeline;
    Site site{"s", 0, {}};
    for (int i = 0; i < 2; ++i) {
      HostGroup host{i == 0 ? "a" : "b", std::max(2, num_devices / 16), 0, 5e10, 5e-6, {}};
      host.devices.push_back({i == 0 ? "a100-sxm-80" : "h20", 8, 0, 0, ""});
      site.hosts.push_back(host);
    }
    cluster.sites.push_back(site);
    devices = index_devices(cluster).value();
    hosts = index_hosts(cluster);
    int next[2] = {0, 0};
    for (int p = 0; p < num_pipelines; ++p) {
      Pipeline pipeline{1, num_microbatches, "1f1b", {}};
      for (int s = 0; s < num_stages; ++s) {
        Stage stage{s * num_layers / num_stages, (s + 1) * num_layers / num_stages, {}, degree};
        for (int m = 0; m < degree; ++m) {
          const int device = next[p % 2]++;
          stage.devices.push_back(cat("s/", p % 2 == 0 ? "a" : "b", device / 8, "/", device % 8));
        }
        pipeline.stages.push_back(stage);
      }
      island.pipelines.push_back(pipeline);
    }
  }
  StepWorld world() const { return {workload, cluster, devices, hosts, links, Precision::kBf16}; }
};

void run(benchmark::State& state, const Scene& scene, bool whole, bool spans) {
  StepSettings settings;
  settings.keep_spans = spans;
  settings.whole = whole;
  int64_t actions = 0;
  int ranks = 0;
  for (auto _ : state) {
    const Result<IslandStep> step = simulate_island(scene.island, {}, scene.world(), settings);
    if (!step.ok()) return state.SkipWithError(step.status().to_string().c_str());
    actions += step->trace.num_actions;
    ranks = step->fold.num_ranks();
  }
  state.SetItemsProcessed(actions);
  state.counters["ranks"] = ranks;
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  state.counters["peak_MB"] = static_cast<double>(usage.ru_maxrss) / 1024;
}

// 4,096 devices: 32 pipelines of 16 stages by 8.
void Step4096Folded(benchmark::State& state) {
  run(state, Scene(4096, 16, 8, 64, 80), false, true);
}
BENCHMARK(Step4096Folded)->Unit(benchmark::kMillisecond);

// The same with every device by itself: 4,096 lists.
void Step4096Whole(benchmark::State& state) { run(state, Scene(4096, 16, 8, 64, 80), true, false); }
BENCHMARK(Step4096Whole)->Unit(benchmark::kMillisecond)->Iterations(1);

// 4,096 devices in pipelines of 128 stages with 512 microbatches.
void Step4096LongPipelines(benchmark::State& state) {
  run(state, Scene(4096, 128, 8, 512, 128), false, true);
}
BENCHMARK(Step4096LongPipelines)->Unit(benchmark::kMillisecond);

// Playing alone, without folding, ordering and pricing.
void PlayActions(benchmark::State& state) {
  const Scene scene(256, 16, 1, 512, 80);
  const StepWorld world = scene.world();
  StepSettings settings;
  settings.keep_spans = false;
  settings.whole = true;
  const IslandStep step = simulate_island(scene.island, {}, world, settings).value();
  const GroupQuery query{scene.island,  step.loads,  world.precision, scene.cluster,
                         scene.devices, scene.hosts, scene.links};
  const IslandCost cost = IslandCost::create(query, scene.workload, step.fold).value();
  Routes routes(step.fold, step.schedule.devices, scene.cluster, scene.devices, scene.hosts,
                scene.links);
  const Program program = compile(step.schedule, cost, routes, settings).value();
  int64_t actions = 0;
  for (auto _ : state) actions += play(program, routes.wires(), settings)->num_actions;
  state.SetItemsProcessed(actions);
}
BENCHMARK(PlayActions)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace skarv
