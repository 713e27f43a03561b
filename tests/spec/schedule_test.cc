#include "spec/schedule.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "spec/examples.h"
#include "spec/stage_map.h"

namespace skarv {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using enum ActionKind;

// One pipeline of two stages on two devices, two microbatches.
struct Fixture {
  Plan plan;
  SlabTable table{example_run().model, 1};
  Ownership ownership;
  Schedule schedule;

  Fixture() {
    Island island{"north", {{1, 2, "1f1b", {{0, 3, {"a"}}, {3, 6, {"b"}}}}}};
    plan.islands.push_back(island);
    ownership = ownership_of(plan.islands[0], plan, table);
    schedule.devices = {"a", "b"};
    schedule.actions.resize(2);
    for (int i = 0; i < 2; ++i) {
      add(0, {kForward, 0, 0, i});
      add(0, {kSendActivation, 0, 0, i, -1, 1, 64});
      add(1, {kReceiveActivation, 0, 1, i, -1, 0, 64});
      add(1, {kForward, 0, 1, i});
      add(1, {kBackward, 0, 1, i});
      add(1, {kSendGradient, 0, 1, i, -1, 0, 64});
    }
    for (int i = 0; i < 2; ++i) {
      add(0, {kReceiveGradient, 0, 0, i, -1, 1, 64});
      add(0, {kBackward, 0, 0, i});
    }
    for (int rank = 0; rank < 2; ++rank) {
      add(rank, {kReduce, -1, -1, -1, rank});
      add(rank, {kClip});
      add(rank, {kUpdate, -1, -1, -1, rank});
      add(rank, {kGather, -1, -1, -1, rank});
    }
  }
  void add(int rank, Action action) { schedule.actions[rank].push_back(action); }
  Status check() const { return check_schedule(schedule, plan.islands[0], ownership); }
};

TEST(Schedule, ValidOneIsAccepted) {
  const Fixture fixture;
  ASSERT_EQ(fixture.ownership.groups.size(), 2);
  EXPECT_TRUE(fixture.check().ok()) << fixture.check();
}

TEST(Schedule, SplitBackwardIsAccepted) {
  Fixture fixture;
  std::vector<Action>& list = fixture.schedule.actions[1];
  for (Action& action : list) {
    if (action.kind == kBackward) action.kind = kBackwardInput;
  }
  const auto reduce = std::ranges::find(list, kReduce, &Action::kind);
  list.insert(reduce, {{kBackwardWeight, 0, 1, 1}, {kBackwardWeight, 0, 1, 0}});
  EXPECT_TRUE(fixture.check().ok()) << fixture.check();
}

TEST(Schedule, JsonRoundTripsAndDigestFollowsContent) {
  Fixture fixture;
  const Result<Schedule> read = schedule_from_json(to_json(fixture.schedule), "schedule.json");
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(*read, fixture.schedule);
  EXPECT_EQ(digest_of(*read), digest_of(fixture.schedule));
  std::swap(fixture.schedule.actions[0][0], fixture.schedule.actions[0][1]);
  EXPECT_NE(digest_of(*read), digest_of(fixture.schedule));
}

TEST(Schedule, ActionsHaveNames) {
  EXPECT_EQ(to_string({kForward, 0, 1, 3}), "forward pipeline 0 stage 1 microbatch 3");
  EXPECT_EQ(*action_kind_from("backward-input"), kBackwardInput);
  EXPECT_THAT(action_kind_from("sideways").status().hint(), HasSubstr("forward"));
  EXPECT_EQ(schedule_from_json(
                Json{{"ranks", {{{"device", "a"}, {"actions", {{{"kind", "go"}}}}}}}}, "s.json")
                .status()
                .origin(),
            "s.json: ranks[0].actions[0].kind");
}

TEST(Schedule, DeadlockIsNamedByTheTwoActions) {
  Fixture fixture;
  // Rank 0 wants the gradient of microbatch 0 before it sends what that gradient needs.
  std::vector<Action>& list = fixture.schedule.actions[0];
  const Action receive = list[4];
  list.erase(list.begin() + 4);
  list.insert(list.begin() + 1, receive);
  const Status status = fixture.check();
  EXPECT_EQ(status.code(), Code::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr("deadlock"));
  EXPECT_THAT(status.message(), HasSubstr("a waits in \"receive-gradient pipeline 0 stage 0 "
                                          "microbatch 0 peer 1\" for b"));
  EXPECT_THAT(status.message(), HasSubstr("b, which waits in \"receive-activation"));
}

TEST(Schedule, CollectivesInDifferentOrderAreADeadlock) {
  Plan plan;
  Island island{"north", {}};
  island.pipelines.push_back({1, 1, "1f1b", {{0, 3, {"a"}}, {3, 6, {"b"}}}});
  island.pipelines.push_back({1, 1, "1f1b", {{0, 6, {"c"}}}});
  island.pipelines.push_back({1, 1, "1f1b", {{0, 6, {"d"}}}});
  plan.islands.push_back(island);
  const SlabTable table(example_run().model, 1);
  const Ownership ownership = ownership_of(island, plan, table);
  Schedule schedule{island.devices(), {}};
  schedule.actions.resize(4);
  schedule.actions[0] = {{kForward, 0, 0, 0},
                         {kSendActivation, 0, 0, 0, -1, 1, 8},
                         {kReceiveGradient, 0, 0, 0, -1, 1, 8},
                         {kBackward, 0, 0, 0}};
  schedule.actions[1] = {{kReceiveActivation, 0, 1, 0, -1, 0, 8},
                         {kForward, 0, 1, 0},
                         {kBackward, 0, 1, 0},
                         {kSendGradient, 0, 1, 0, -1, 0, 8}};
  for (int rank : {2, 3}) {
    schedule.actions[rank] = {{kForward, rank - 1, 0, 0}, {kBackward, rank - 1, 0, 0}};
  }
  ASSERT_EQ(ownership.groups.size(), 2);
  for (ActionKind kind : {kReduce, kClip, kUpdate, kGather}) {
    for (int rank = 0; rank < 4; ++rank) {
      if (kind == kClip) {
        schedule.actions[rank].push_back({kClip});
        continue;
      }
      for (int group : {0, 1}) {
        // Rank 3 reduces the groups the other way round.
        const int chosen = rank == 3 && kind == kReduce ? 1 - group : group;
        if (rank >= 2 || rank == chosen) {
          schedule.actions[rank].push_back({kind, -1, -1, -1, chosen});
        }
      }
    }
  }
  const Status status = check_schedule(schedule, island, ownership);
  EXPECT_THAT(status.message(), HasSubstr("deadlock"));
  EXPECT_THAT(status.message(), HasSubstr("\"reduce group 0\""));
  EXPECT_THAT(status.message(), HasSubstr("\"reduce group 1\""));
  std::swap(schedule.actions[3][2], schedule.actions[3][3]);
  EXPECT_TRUE(check_schedule(schedule, island, ownership).ok())
      << check_schedule(schedule, island, ownership);
}

struct BadSchedule {
  const char* name;
  std::function<void(Schedule&)> change;
  const char* place;
  const char* word;
};
std::ostream& operator<<(std::ostream& out, const BadSchedule& bad) { return out << bad.name; }

class BadScheduleTest : public testing::TestWithParam<BadSchedule> {};

TEST_P(BadScheduleTest, IsRefused) {
  Fixture fixture;
  GetParam().change(fixture.schedule);
  const Status status = fixture.check();
  EXPECT_EQ(status.code(), Code::kInvalidArgument);
  EXPECT_EQ(status.origin(), GetParam().place);
  EXPECT_THAT(status.message(), HasSubstr(GetParam().word));
  EXPECT_FALSE(status.hint().empty());
}

void move_action(Schedule& schedule, int rank, int from, int to) {
  std::vector<Action>& list = schedule.actions[rank];
  const Action action = list[from];
  list.erase(list.begin() + from);
  list.insert(list.begin() + to, action);
}

INSTANTIATE_TEST_SUITE_P(
    Table, BadScheduleTest,
    testing::Values(
        BadSchedule{"other_devices", [](Schedule& s) { s.devices[1] = "c"; }, "", "in this order"},
        BadSchedule{"missing_forward",
                    [](Schedule& s) { s.actions[0].erase(s.actions[0].begin()); }, "a",
                    "lacks the action \"forward pipeline 0 stage 0 microbatch 0\""},
        BadSchedule{"twice", [](Schedule& s) { s.actions[0].push_back(s.actions[0][0]); }, "a",
                    "does twice \"forward"},
        BadSchedule{"foreign_stage",
                    [](Schedule& s) {
                      s.actions[0].push_back({kForward, 0, 1, 0});
                    },
                    "a", "no business"},
        BadSchedule{"wrong_peer", [](Schedule& s) { s.actions[0][1].peer = 0; }, "a",
                    "no business with \"send-activation pipeline 0 stage 0 microbatch 0 peer 0"},
        BadSchedule{"no_update", [](Schedule& s) { s.actions[1].erase(s.actions[1].end() - 2); },
                    "b", "lacks the action \"update group 1\""},
        BadSchedule{"no_clip", [](Schedule& s) { s.actions[1].erase(s.actions[1].end() - 3); }, "b",
                    "lacks the action \"clip\""},
        BadSchedule{"bytes", [](Schedule& s) { s.actions[0][1].bytes = 65; }, "b", "a sends 65"},
        BadSchedule{"negative_bytes", [](Schedule& s) { s.actions[0][1].bytes = -1; }, "a",
                    "moves -1"},
        BadSchedule{"send_before_forward", [](Schedule& s) { move_action(s, 0, 1, 0); }, "a",
                    "before the forward"},
        BadSchedule{"forward_before_input", [](Schedule& s) { move_action(s, 1, 1, 0); }, "b",
                    "before its input"},
        BadSchedule{"backward_before_gradient", [](Schedule& s) { move_action(s, 0, 5, 4); }, "a",
                    "gradient of its output"},
        BadSchedule{"reduce_before_backward", [](Schedule& s) { move_action(s, 0, 8, 7); }, "a",
                    "before the last backward"},
        BadSchedule{"clip_before_reduce", [](Schedule& s) { move_action(s, 0, 9, 8); }, "a",
                    "before the last reduce"},
        BadSchedule{"update_before_clip", [](Schedule& s) { move_action(s, 0, 10, 9); }, "a",
                    "before the clip"},
        BadSchedule{"gather_before_update", [](Schedule& s) { move_action(s, 0, 11, 10); }, "a",
                    "before its update"}),
    [](const auto& info) { return info.param.name; });

TEST(StageMap, MembersOfUnequalGroupsAreServedInTurn) {
  Island island{
      "north",
      {{1, 1, "1f1b", {{0, 2, {"a", "b"}, 2}, {2, 4, {"c", "d", "e", "f"}, 4}, {4, 6, {"a"}, 1}}}}};
  const StageMap map(island);
  EXPECT_EQ(map.num_ranks(), 6);
  EXPECT_THAT(map.activation_targets({0, 0, 0}), ElementsAre(2, 4));
  EXPECT_THAT(map.activation_targets({0, 0, 1}), ElementsAre(3, 5));
  EXPECT_EQ(map.activation_source({0, 1, 3}), 1);
  EXPECT_EQ(map.gradient_source({0, 1, 3}), 0);
  EXPECT_THAT(map.gradient_targets({0, 1, 1}), ElementsAre(1));
  EXPECT_EQ(map.activation_source({0, 0, 0}), -1);
  EXPECT_EQ(map.gradient_source({0, 2, 0}), -1);
  EXPECT_EQ(map.seats_of(0).size(), 2);
  EXPECT_TRUE(map.sits_in(0, 0, 2));
}

// Two neighbouring stages on one device need no message between them.
TEST(StageMap, NothingIsSentToOneself) {
  Island island{"north", {{1, 1, "1f1b", {{0, 3, {"a"}}, {3, 6, {"a"}}}}}};
  const StageMap map(island);
  EXPECT_TRUE(map.activation_targets({0, 0, 0}).empty());
  EXPECT_EQ(map.activation_source({0, 1, 0}), 0);
  Plan plan;
  plan.islands.push_back(island);
  const SlabTable table(example_run().model, 1);
  const Ownership ownership = ownership_of(island, plan, table);
  const Schedule schedule{{"a"},
                          {{{kForward, 0, 0, 0},
                            {kForward, 0, 1, 0},
                            {kBackward, 0, 1, 0},
                            {kBackward, 0, 0, 0},
                            {kReduce, -1, -1, -1, 0},
                            {kClip},
                            {kUpdate, -1, -1, -1, 0},
                            {kGather, -1, -1, -1, 0}}}};
  EXPECT_TRUE(check_schedule(schedule, island, ownership).ok())
      << check_schedule(schedule, island, ownership);
}

}  // namespace
}  // namespace skarv
