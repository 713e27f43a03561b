#include "spec/profile.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace skarv {
namespace {

using testing::HasSubstr;

Profile example() {
  Profile profile;
  profile.model = "abc";
  profile.layers.push_back({"cpu", LayerKind::kBlock, 2, 1, 0.010, 0.011, 0.009, 0.001, 1000});
  profile.layers.push_back({"cpu", LayerKind::kBlock, 6, 1, 0.022, 0.023, 0.021, 0.001, 3000});
  profile.devices.push_back({"north/a/0", "cpu", 4e9, 1e8, 0.7});
  profile.links.push_back({"north", "south", 12.5e6, 0.05, {{1 << 20, 5e6}, {1 << 24, 12e6}}});
  return profile;
}

TEST(Profile, JsonRoundTrips) {
  const Result<Profile> read = profile_from_json(to_json(example()), "profile.json");
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(to_json(*read), to_json(example()));
}

TEST(Profile, TimesAreInterpolatedAndGrowInProportionBeyond) {
  const Profile profile = example();
  EXPECT_DOUBLE_EQ(layer_time(profile, "cpu", LayerKind::kBlock, 2, 1)->forward, 0.010);
  EXPECT_DOUBLE_EQ(layer_time(profile, "cpu", LayerKind::kBlock, 4, 1)->forward, 0.016);
  EXPECT_DOUBLE_EQ(layer_time(profile, "cpu", LayerKind::kBlock, 4, 1)->activation_bytes, 2000);
  EXPECT_DOUBLE_EQ(layer_time(profile, "cpu", LayerKind::kBlock, 12, 1)->backward_weight, 0.042);
  EXPECT_DOUBLE_EQ(layer_time(profile, "cpu", LayerKind::kBlock, 12, 1)->update, 0.001);
  EXPECT_DOUBLE_EQ(layer_time(profile, "cpu", LayerKind::kBlock, 1, 1)->forward, 0.010);
}

TEST(Profile, WhatIsMissingIsNamed) {
  const Status chip = layer_time(example(), "h20", LayerKind::kBlock, 1, 1).status();
  EXPECT_EQ(chip.code(), Code::kNotFound);
  EXPECT_THAT(chip.message(), HasSubstr("no chip h20"));
  EXPECT_THAT(chip.hint(), HasSubstr("cpu"));
  EXPECT_THAT(layer_time(example(), "cpu", LayerKind::kHead, 1, 1).status().message(),
              HasSubstr("no head of cpu"));
}

TEST(Profile, BadFilesAreRefusedWithTheirPath) {
  const auto origin = [](const char* pointer, const Json& value) {
    Json json = to_json(example());
    json[Json::json_pointer(pointer)] = value;
    return profile_from_json(json, "p.json").status().origin();
  };
  EXPECT_EQ(origin("/layers/0/forward", -1), "p.json: layers[0].forward");
  EXPECT_EQ(origin("/layers/1/kind", "blok"), "p.json: layers[1].kind");
  EXPECT_EQ(origin("/layers/1/microbatch", 0), "p.json: layers[1].microbatch");
  EXPECT_EQ(origin("/links/0/bandwidth", 0), "p.json: links[0].bandwidth");
  EXPECT_EQ(origin("/links/0/latency", "fast"), "p.json: links[0].latency");
  EXPECT_EQ(origin("/links/0/points/1/bytes", 1000), "p.json: links[0].points[1].bytes");
  EXPECT_EQ(origin("/links/0/points/0/bandwidth", 0), "p.json: links[0].points[0].bandwidth");
  EXPECT_EQ(origin("/devices/0/pase", 1), "p.json: devices[0].pase");
  EXPECT_EQ(origin("/links/0/latency", "1e300 s"), "p.json: links[0].latency");
  EXPECT_EQ(origin("/layers/1/microbatch", 2), "p.json: layers[1].microbatch") << "measured twice";
}

}  // namespace
}  // namespace skarv
