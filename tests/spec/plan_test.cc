#include "spec/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "spec/examples.h"

namespace skarv {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(Plan, ReadsAndChecks) {
  const Result<Plan> plan = plan_from_json(example_plan_json(), "plan.json");
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_TRUE(check_plan(*plan, example_run().model, example_run(), example_cluster()).ok());
  EXPECT_THAT(plan->islands[1].devices(),
              ElementsAre("south/b0/0", "south/b0/1", "south/b1/0", "south/b1/1"));
  EXPECT_EQ(plan->islands[1].samples(), 18);
  EXPECT_EQ(plan->islands[0].pipelines[0].stages[1].recompute, Recompute::kFull);
  EXPECT_EQ(plan->island_of("south/b1/1"), &plan->islands[1]);
  EXPECT_EQ(plan->island_of("east/a/0"), nullptr);
  EXPECT_EQ(plan->find_island("north"), &plan->islands[0]);
}

TEST(Plan, LastMicrobatchMayBeSmaller) {
  Pipeline pipeline;
  pipeline.microbatch = 4;
  pipeline.samples = 11;
  EXPECT_EQ(pipeline.num_microbatches(), 3);
  EXPECT_EQ(pipeline.microbatch_size(0), 4);
  EXPECT_EQ(pipeline.microbatch_size(2), 3);
  EXPECT_EQ(pipeline.microbatch_size(3), 0);
}

TEST(Plan, JsonRoundTripsAndDigestFollowsContent) {
  const Plan plan = example_plan();
  const Result<Plan> read = plan_from_json(to_json(plan), "plan.json");
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(digest_of(*read), digest_of(plan));
  Plan other = plan;
  other.islands[0].pipelines[0].samples = 7;
  EXPECT_NE(digest_of(other), digest_of(plan));
}

TEST(Plan, ReplicasAndHostRangesKeepLargePlansShort) {
  const Json json = {
      {"version", 1},
      {"model", Digest{}.hex()},
      {"islands",
       {{{"name", "all"},
         {"pipelines",
          {{{"replicas", 16},
            {"microbatch", 1},
            {"microbatches", 8},
            {"stages",
             {{{"layers", {0, 40}}, {"devices", {"s/a[0-15]/[0-7]"}}, {"tensor_parallel", 8}},
              {{"layers", {40, 82}},
               {"devices", {"s/b[0-15]/[0-7]"}},
               {"tensor_parallel", 8}}}}}}}}}}};
  const Result<Plan> plan = plan_from_json(json, "plan.json");
  ASSERT_TRUE(plan.ok()) << plan.status();
  const Island& island = plan->islands[0];
  ASSERT_EQ(island.pipelines.size(), 16);
  EXPECT_EQ(island.devices().size(), 256);
  EXPECT_EQ(island.pipelines[3].stages[1].devices[7], "s/b3/7");
  EXPECT_EQ(island.pipelines[15].samples, 8);
}

struct BadPlan {
  const char* name;
  std::function<void(Json&)> change;
  const char* place;
  const char* word;
  Code code = Code::kInvalidArgument;
};
std::ostream& operator<<(std::ostream& out, const BadPlan& plan) { return out << plan.name; }

class BadPlanTest : public testing::TestWithParam<BadPlan> {};

Json& stage(Json& json, int island, int pipeline, int index) {
  return json["islands"][island]["pipelines"][pipeline]["stages"][index];
}

TEST_P(BadPlanTest, IsRefusedWithItsPlace) {
  Json json = example_plan_json();
  GetParam().change(json);
  const Result<Plan> plan = plan_from_json(json, "plan.json");
  const Status status =
      plan.ok() ? check_plan(*plan, example_run().model, example_run(), example_cluster())
                : plan.status();
  EXPECT_EQ(status.code(), GetParam().code);
  EXPECT_EQ(status.origin(), GetParam().place);
  EXPECT_THAT(status.message(), HasSubstr(GetParam().word));
  EXPECT_FALSE(status.hint().empty());
}

INSTANTIATE_TEST_SUITE_P(
    Table, BadPlanTest,
    testing::Values(
        BadPlan{"unknown_key", [](Json& j) { stage(j, 0, 0, 0)["tensor_paralel"] = 1; },
                "plan.json: islands[0].pipelines[0].stages[0].tensor_paralel", "unknown key"},
        BadPlan{"version", [](Json& j) { j["version"] = 2; }, "plan.json: version", "version 2"},
        BadPlan{"model_digest", [](Json& j) { j["model"] = "abc"; }, "plan.json: model", "digest"},
        BadPlan{"other_model", [](Json& j) { j["model"] = Digest{}.hex(); }, "model", "made for"},
        BadPlan{"no_islands", [](Json& j) { j["islands"] = Json::array(); }, "islands",
                "no islands"},
        BadPlan{"one_layer_number", [](Json& j) { stage(j, 1, 0, 1)["layers"] = {3}; },
                "plan.json: islands[1].pipelines[0].stages[1].layers", "1 numbers"},
        BadPlan{"negative_layer",
                [](Json& j) {
                  stage(j, 1, 0, 1)["layers"] = {-3, 6};
                },
                "plan.json: islands[1].pipelines[0].stages[1].layers", "from 0"},
        BadPlan{"layer_twice",
                [](Json& j) {
                  stage(j, 1, 0, 1)["layers"] = {2, 6};
                },
                "islands[1].pipelines[0].stages[1].layers", "held twice"},
        BadPlan{"layer_gap",
                [](Json& j) {
                  stage(j, 1, 0, 1)["layers"] = {4, 6};
                },
                "islands[1].pipelines[0].stages[1].layers", "do not follow layer 3"},
        BadPlan{"no_head",
                [](Json& j) {
                  stage(j, 0, 0, 1)["layers"] = {4, 5};
                },
                "islands[0].pipelines[0].stages", "the model has 6"},
        BadPlan{"empty_stage",
                [](Json& j) {
                  stage(j, 0, 0, 1)["layers"] = {4, 4};
                },
                "islands[0].pipelines[0].stages[1].layers", "4 to 4"},
        BadPlan{"unknown_device", [](Json& j) { stage(j, 0, 0, 0)["devices"] = {"north/a/7"}; },
                "islands[0].pipelines[0].stages[0].devices", "north/a/7", Code::kNotFound},
        BadPlan{"device_twice", [](Json& j) { stage(j, 0, 0, 0)["devices"] = {"south/b0/0"}; },
                "islands[1].pipelines[0]", "already used in islands[0].pipelines[0]"},
        BadPlan{"too_few_devices", [](Json& j) { stage(j, 1, 1, 0)["devices"] = {"south/b1/0"}; },
                "plan.json: islands[1].pipelines[1].stages[0].devices", "needs 2"},
        BadPlan{"device_twice_in_group",
                [](Json& j) {
                  stage(j, 1, 1, 0)["devices"] = {"south/b1/0", "south/b1/0"};
                },
                "islands[1].pipelines[1].stages[0].devices", "twice"},
        BadPlan{"mixed_chips",
                [](Json& j) {
                  stage(j, 1, 1, 0)["devices"] = {"north/a/1", "south/b1/0"};
                  j["islands"].erase(0);
                },
                "islands[0].pipelines[1].stages[0].devices", "mixes toy and h20"},
        BadPlan{"tensor_parallel",
                [](Json& j) {
                  stage(j, 1, 1, 0)["tensor_parallel"] = 3;
                  stage(j, 1, 1, 0)["devices"] = {"south/b1/0", "south/b1/1", "south/b0/0"};
                },
                "islands[1].pipelines[1].stages[0].tensor_parallel", "does not divide"},
        BadPlan{"bad_range", [](Json& j) { stage(j, 1, 1, 0)["devices"] = {"south/b1/[1-0]"}; },
                "plan.json: islands[1].pipelines[1].stages[0].devices[0]", "not a range"},
        BadPlan{"huge_range",
                [](Json& j) { stage(j, 1, 1, 0)["devices"] = {"s/b[0-99999]/[0-99999]"}; },
                "plan.json: islands[1].pipelines[1].stages[0].devices[0]", "not a range"},
        BadPlan{"samples", [](Json& j) { j["islands"][1]["pipelines"][1]["samples"] = 8; },
                "islands", "25 samples"},
        BadPlan{"samples_and_microbatches",
                [](Json& j) { j["islands"][0]["pipelines"][0]["samples"] = 6; },
                "plan.json: islands[0].pipelines[0].samples", "either"},
        BadPlan{"recompute", [](Json& j) { stage(j, 0, 0, 1)["recompute"] = "some"; },
                "plan.json: islands[0].pipelines[0].stages[1].recompute", "none of none, full"},
        BadPlan{"island_name", [](Json& j) { j["islands"][1]["name"] = "north"; },
                "islands[1].name", "used twice"},
        BadPlan{"island_outside", [](Json& j) { j["islands"][1]["name"] = "../../x"; },
                "islands[1].name", "../../x"},
        BadPlan{"island_of_the_run", [](Json& j) { j["islands"][1]["name"] = "export"; },
                "islands[1].name", "part of every run"},
        BadPlan{"idle_used",
                [](Json& j) {
                  j["idle"] = {{{"device", "north/a/0"}}};
                },
                "idle[0]", "already used"},
        BadPlan{"share_of_stranger", [](Json& j) { j["owner_share"]["x/y/0"] = 1; },
                "owner_share.x/y/0", "x/y/0", Code::kNotFound},
        BadPlan{"negative_share", [](Json& j) { j["owner_share"]["north/a/0"] = -1; },
                "plan.json: owner_share.north/a/0", "outside 0"},
        BadPlan{"not_an_object", [](Json& j) { j["islands"][0] = 3; }, "plan.json: islands[0]",
                "has to be a table"}),
    [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace skarv
