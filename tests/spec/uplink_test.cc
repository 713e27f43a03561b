#include "spec/uplink.h"

#include <gtest/gtest.h>

namespace skarv {
namespace {

TEST(Uplink, IsWhatTheFileSaysElseTheFastestLink) {
  Cluster cluster;
  cluster.sites = {{"a", 5e6, {}}, {"b", 0, {}}, {"c", 0, {}}};
  cluster.links = {{"a", "b", 10e6, 0.1, 0, 0}, {"b", "a2", 40e6, 0.1, 0, 0}};
  EXPECT_EQ(uplink_of(cluster, "a"), 5e6) << "faster links end at a slower uplink";
  EXPECT_EQ(uplink_of(cluster, "b"), 40e6);
  EXPECT_EQ(uplink_of(cluster, "c"), 1);
  EXPECT_EQ(uplink_of(cluster, "nowhere"), 1);
}

}  // namespace
}  // namespace skarv
