// The executor against a dry backend: the list as it stands, whatever list it is.
#include "train/executor.h"

#include <gtest/gtest.h>

#include "island.h"

namespace skarv::train {
namespace {

// Notes what it is asked to do; each action takes a second of virtual time.
class DryBackend : public StepBackend {
 public:
  explicit DryBackend(VirtualClock& clock) : clock_(clock) {}

  Result<int64_t> receive_activation(const Action& action) override { return note(action); }
  Result<int64_t> forward(const Action& action) override { return note(action); }
  Result<int64_t> send_activation(const Action& action) override { return note(action); }
  Result<int64_t> receive_gradient(const Action& action) override { return note(action); }
  Result<int64_t> backward(const Action& action) override { return note(action); }
  Result<int64_t> backward_input(const Action& action) override { return note(action); }
  Result<int64_t> backward_weight(const Action& action) override { return note(action); }
  Result<int64_t> send_gradient(const Action& action) override { return note(action); }
  Result<int64_t> reduce(const Action& action) override { return note(action); }
  Result<int64_t> clip(const Action& action) override { return note(action); }
  Result<int64_t> update(const Action& action) override { return note(action); }
  Result<int64_t> gather(const Action& action) override { return note(action); }

  std::vector<Action> seen;
  ActionKind broken = ActionKind::kForward;
  bool breaks = false;

 private:
  Result<int64_t> note(const Action& action) {
    if (breaks && action.kind == broken) {
      return Status(Code::kUnavailable, Scope::kPeer, "north/a/1 is gone");
    }
    seen.push_back(action);
    clock_.advance(std::chrono::seconds(1));
    return action.bytes;
  }
  VirtualClock& clock_;
};

IslandSpec two_stages() {
  return {.run = tiny_run(2),
          .pipelines = {pipeline_of(4, 12, {{0, 3, "north/a/0"}, {3, 6, "north/a/1"}})}};
}

TEST(Executor, PerformsARandomScheduleInOrder) {
  const IslandSpec spec = two_stages();
  const Schedule schedule = schedule_of(spec, plan_of(spec));
  for (const std::vector<Action>& actions : schedule.actions) {
    VirtualClock clock;
    DryBackend backend(clock);
    Progress progress;
    std::vector<ActionRecord> records;
    ASSERT_TRUE(execute(actions, backend, clock, progress, &records).ok());
    EXPECT_EQ(backend.seen, actions);
    EXPECT_EQ(progress.num_done(), static_cast<int64_t>(actions.size()));
    ASSERT_EQ(records.size(), actions.size());
    for (size_t i = 0; i < records.size(); ++i) {
      EXPECT_EQ(records[i].action, actions[i]);
      EXPECT_EQ(records[i].bytes, actions[i].bytes);
      EXPECT_EQ(records[i].start.time_since_epoch(), std::chrono::seconds(i));
      EXPECT_EQ(records[i].end.time_since_epoch(), std::chrono::seconds(i + 1));
    }
  }
}

TEST(Executor, StopsAtTheFirstErrorAndNamesTheAction) {
  const IslandSpec spec = two_stages();
  const std::vector<Action> actions = schedule_of(spec, plan_of(spec)).actions[0];
  VirtualClock clock;
  DryBackend backend(clock);
  backend.breaks = true;
  backend.broken = ActionKind::kReceiveGradient;
  Progress progress;
  std::vector<ActionRecord> records;
  const Status status = execute(actions, backend, clock, progress, &records);
  EXPECT_EQ(status.scope(), Scope::kPeer);
  const Action& next = actions[records.size()];
  EXPECT_EQ(next.kind, ActionKind::kReceiveGradient);
  EXPECT_EQ(status.message(), to_string(next) + ": north/a/1 is gone");
  EXPECT_EQ(progress.doing(), to_string(next));
}

}  // namespace
}  // namespace skarv::train
