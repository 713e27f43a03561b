// A small world for the tests of plan: times in whole milliseconds, so that people can follow.
#pragma once

#include "base/text.h"
#include "plan/cost/island_cost.h"
#include "spec/cluster.h"
#include "spec/run.h"

namespace skarv {

// Two blocks: four layers with embedding and head. Borders carry 16 * 16 * 4 = 1024 bytes a sample.
inline skarv::Run small_run(int64_t global_batch, int64_t num_blocks = 2) {
  skarv::Run run;
  run.model = {64, 16, num_blocks, 2, 2, 8, 24, 16};
  run.global_batch = global_batch;
  run.steps = 100;
  return run;
}

// One host per device, named "site/h<i>/0"; pace 0: not paced.
inline Cluster cluster_of(const std::vector<std::pair<std::string, std::vector<double>>>& sites,
                          int64_t memory_bytes = 1'000'000'000, const std::string& chip = "cpu") {
  Cluster cluster;
  for (const auto& [name, paces] : sites) {
    Site site{name, 0, {}};
    for (size_t i = 0; i < paces.size(); ++i) {
      HostGroup host{cat("h", i), 1, 0, 0, 0, {}};
      host.devices.push_back({chip, 1, memory_bytes, paces[i], ""});
      site.hosts.push_back(host);
    }
    cluster.sites.push_back(site);
  }
  for (size_t i = 1; i < cluster.sites.size(); ++i) {
    cluster.links.push_back({cluster.sites[0].name, cluster.sites[i].name, 12.5e6, 0.1, 0, 0});
  }
  return cluster;
}

// Embedding 1/0/1 ms, block 10/10/10, head 5/5/5 for each sample; updates 1, 2, 1 ms; 1 kB of
// activations a layer and sample.
inline Profile small_profile(const std::vector<int>& microbatches,
                             const std::string& chip = "cpu") {
  Profile profile;
  for (int size : microbatches) {
    const double ms = 1e-3 * size, bytes = 1000.0 * size;
    profile.layers.push_back({chip, LayerKind::kEmbedding, size, 1, ms, 0, ms, 1e-3, bytes});
    profile.layers.push_back(
        {chip, LayerKind::kBlock, size, 1, 10 * ms, 10 * ms, 10 * ms, 2e-3, bytes});
    profile.layers.push_back(
        {chip, LayerKind::kHead, size, 1, 5 * ms, 5 * ms, 5 * ms, 1e-3, bytes});
  }
  return profile;
}

}  // namespace skarv
