// Two passes: every rank has exactly the actions that its seats ask for; then the lists are walked,
// rank by rank as far as each comes, without time, to find what is used too early and who waits for
// ever.
#include <algorithm>
#include <tuple>

#include "base/text.h"
#include "spec/schedule.h"
#include "spec/schedule_walk.h"
#include "spec/stage_map.h"

namespace skarv {
namespace {

auto key_of(const Action& action) {
  return std::tie(action.pipeline, action.stage, action.microbatch, action.group, action.kind,
                  action.peer);
}
bool before(const Action& a, const Action& b) { return key_of(a) < key_of(b); }

Action compute(ActionKind kind, const StageMap::Seat& seat, int microbatch, int peer = -1) {
  return {kind, seat.pipeline, seat.stage, microbatch, -1, peer, 0};
}

// What the seat does for one microbatch. Whether backward comes whole or in two parts is the
// schedule's choice.
void add_expected(const StageMap& map, int rank, const StageMap::Seat& seat, int microbatch,
                  bool is_split, std::vector<Action>& out) {
  const auto receives_from = [&](int source) { return source >= 0 && source != rank; };
  if (const int source = map.activation_source(seat); receives_from(source)) {
    out.push_back(compute(ActionKind::kReceiveActivation, seat, microbatch, source));
  }
  out.push_back(compute(ActionKind::kForward, seat, microbatch));
  for (int target : map.activation_targets(seat)) {
    out.push_back(compute(ActionKind::kSendActivation, seat, microbatch, target));
  }
  if (const int source = map.gradient_source(seat); receives_from(source)) {
    out.push_back(compute(ActionKind::kReceiveGradient, seat, microbatch, source));
  }
  if (is_split) {
    out.push_back(compute(ActionKind::kBackwardInput, seat, microbatch));
    out.push_back(compute(ActionKind::kBackwardWeight, seat, microbatch));
  } else {
    out.push_back(compute(ActionKind::kBackward, seat, microbatch));
  }
  for (int target : map.gradient_targets(seat)) {
    out.push_back(compute(ActionKind::kSendGradient, seat, microbatch, target));
  }
}

void add_expected_end(const Ownership& ownership, int rank, std::vector<Action>& out) {
  for (size_t group = 0; group < ownership.groups.size(); ++group) {
    const std::vector<int>& members = ownership.groups[group].members;
    if (!std::binary_search(members.begin(), members.end(), rank)) continue;
    for (ActionKind kind : {ActionKind::kReduce, ActionKind::kUpdate, ActionKind::kGather}) {
      out.push_back({kind, -1, -1, -1, static_cast<int>(group), -1, 0});
    }
  }
  out.push_back({ActionKind::kClip});
}

Status check_actions_of(int rank, const Schedule& schedule, const Island& island,
                        const StageMap& map, const Ownership& ownership) {
  const std::string& device = schedule.devices[rank];
  std::vector<Action> actual = schedule.actions[rank];
  for (const Action& action : actual) {
    if (action.bytes < 0)
      return config_error(cat(to_string(action), " moves ", action.bytes, " bytes"))
          .at(device)
          .with_hint("bytes count from 0");
  }
  std::sort(actual.begin(), actual.end(), before);
  std::vector<Action> expected;
  for (const StageMap::Seat& seat : map.seats_of(rank)) {
    const int num_microbatches = island.pipelines[seat.pipeline].num_microbatches();
    for (int i = 0; i < num_microbatches; ++i) {
      const bool is_split = std::binary_search(
          actual.begin(), actual.end(), compute(ActionKind::kBackwardInput, seat, i), before);
      add_expected(map, rank, seat, i, is_split, expected);
    }
  }
  add_expected_end(ownership, rank, expected);
  std::sort(expected.begin(), expected.end(), before);

  for (size_t i = 0, j = 0; i < expected.size() || j < actual.size(); ++i, ++j) {
    const bool is_missing =
        j == actual.size() || (i < expected.size() && before(expected[i], actual[j]));
    if (is_missing) {
      return config_error(cat(device, " lacks the action \"", to_string(expected[i]), "\""))
          .at(device)
          .with_hint(
              "every stage needs every microbatch forward and backward once, every group its "
              "reduce, update and gather");
    }
    if (i == expected.size() || before(actual[j], expected[i])) {
      const bool is_twice = j > 0 && !before(actual[j - 1], actual[j]);
      return config_error(cat(device, is_twice ? " does twice \"" : " has no business with \"",
                              to_string(actual[j]), "\""))
          .at(device)
          .with_hint("remove the action, or make the schedule from this plan");
    }
  }
  return {};
}

}  // namespace

Status check_schedule(const Schedule& schedule, const Island& island, const Ownership& ownership) {
  if (schedule.devices != island.devices() || schedule.devices != ownership.devices ||
      schedule.actions.size() != schedule.devices.size()) {
    return config_error(cat("the schedule is for ", schedule.devices.size(),
                            " devices that are not, or not in this order, the ",
                            island.devices().size(), " of island ", island.name))
        .with_hint("make the schedule from this plan");
  }
  const StageMap map(island);
  for (int rank = 0; rank < map.num_ranks(); ++rank) {
    SKARV_TRY(check_actions_of(rank, schedule, island, map, ownership));
  }
  return walk_schedule(schedule, map, ownership);
}

}  // namespace skarv
