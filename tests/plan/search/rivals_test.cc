#include <gtest/gtest.h>

#include "base/text.h"
#include "rivals/arena.h"

namespace skarv {
namespace {

void defend(const std::string& cluster, const std::string& model, int num_changes, double seconds) {
  for (const Contest& contest : contests()) {
    if (contest.cluster != cluster || contest.model != model) continue;
    ContestLimits limits;
    limits.num_changes = num_changes;
    limits.seconds = seconds;
    const Result<Held> held = hold(contest, std::string(SKARV_SOURCE_DIR) + "/bench", limits);
    ASSERT_TRUE(held.ok()) << held.status();
    const Outcome* const outcome = &held->outcome;
    EXPECT_TRUE(outcome->is_won())
        << cluster << ", " << model << ": ours " << outcome->ours_ns << ", " << outcome->rival
        << " " << outcome->rival_ns << ", " << outcome->change_seed << " " << outcome->change_ns
        << ", broken " << outcome->broken;
    EXPECT_GT(outcome->num_rivals, 0);
    EXPECT_EQ(outcome->num_changes, outcome->num_dismissed + outcome->num_alike +
                                        outcome->num_unfit + outcome->num_simulated);
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
