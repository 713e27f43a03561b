#include <gtest/gtest.h>

#include "base/text.h"
#include "rivals/arena.h"

namespace skarv {
namespace {

void defend(const std::string& cluster, const std::string& model, int num_mutations,
            double seconds) {
  for (const Contest& contest : contests()) {
    if (contest.cluster != cluster || contest.model != model) continue;
    ContestLimits limits;
    limits.num_mutations = num_mutations;
    limits.seconds = seconds;
    const Result<Outcome> outcome = hold(contest, std::string(SKARV_SOURCE_DIR) + "/bench", limits);
    ASSERT_TRUE(outcome.ok()) << outcome.status();
    EXPECT_TRUE(outcome->is_won())
        << cluster << ", " << model << ": ours " << outcome->ours_ns << ", " << outcome->rival
        << " " << outcome->rival_ns << ", " << outcome->mutation << " " << outcome->mutation_ns
        << ", broken " << outcome->broken;
    EXPECT_GT(outcome->num_rivals, 0);
    return;
  }
  FAIL() << "no contest on " << cluster;
}

TEST(SlowPlannerRivals, NoneIsFasterOnAFewHosts) {
  defend("one_type_8", "8B", 100, 0);
  defend("two_types_16", "8B", 100, 0);
  defend("two_sites_32", "8B", 100, 0);
}
TEST(EndurancePlannerRivals, NoneIsFaster) {
  defend("one_type_8", "8B", 10000, 0);
  defend("two_types_16", "8B", 10000, 0);
  defend("four_types_256", "70B", 1000, 0);
}

}  // namespace
}  // namespace skarv
