#include "plan/search/site_search.h"

#include <gtest/gtest.h>

#include "base/text.h"
#include "plan/cost/roofline.h"
#include "plan/search/planner.h"
#include "plan/search/two_hosts.h"

namespace skarv {
namespace {

// Pipelines of the fast sites take sixteen samples at a time. What they take too much is not
// missing in one of the slow sites alone, which are all alike.
TEST(SiteSearch, EqualSitesGetNearlyEqualShares) {
  skarv::Run run;
  run.model = {128256, 4096, 32, 32, 8, 128, 14336, 8192};
  run.precision = Precision::kBf16;
  run.global_batch = 1024;
  run.steps = 100;
  const Cluster cluster =
      read_cluster(cat(SKARV_SOURCE_DIR, "/bench/clusters/eight_sites_256.toml")).value();
  const Profile profile = estimate_profile(run, {"a100-sxm-80", "h100-sxm"}).value();
  const Result<PlanReport> report = make_plan(run, cluster, profile);
  ASSERT_TRUE(report.ok()) << report.status();
  std::map<std::string, std::pair<int64_t, int64_t>> shares;  // by chip: least, most
  for (const IslandReport& island : report->islands) {
    const Island* plan = report->plan.find_island(island.name);
    const DeviceIndex devices = index_devices(cluster).value();
    const std::string& chip = devices.at(plan->devices().front()).chip.name;
    const auto [share, is_new] = shares.emplace(chip, std::pair(island.samples, island.samples));
    share->second.first = std::min(share->second.first, island.samples);
    share->second.second = std::max(share->second.second, island.samples);
  }
  ASSERT_EQ(shares.size(), 2u);
  for (const auto& [chip, share] : shares) EXPECT_GE(10 * share.first, 9 * share.second) << chip;
}

// The devices in use by the shape that uses most.
int most_devices(const std::vector<WholeShape>& found) {
  int most = 0;
  for (const WholeShape& whole : found) {
    for (const IslandShape& shape : whole.islands.front().shapes) {
      most = std::max(most, shape.num_stages());
    }
  }
  return most;
}

TEST(SiteSearch, ADeviceThatIsToBeLeftOutIsInNoShape) {
  const TwoHosts two(1);
  const World world = two.world();
  ASSERT_EQ(world.pools().size(), 1u);
  const int64_t samples = two.small.run.global_batch;
  EXPECT_EQ(most_devices(search_sites(world, samples, 1)), 2);
  EXPECT_EQ(most_devices(search_sites(world.with_idle(0), samples, 1)), 1);
}

}  // namespace
}  // namespace skarv
