#include "plan/simulate/program.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "base/random.h"
#include "base/text.h"

namespace skarv {
namespace {

using enum ActionKind;

class Compiler {
 public:
  Compiler(const Schedule& schedule, const IslandCost& cost, Routes& routes,
           const StepSettings& settings)
      : schedule_(schedule), cost_(cost), routes_(routes), settings_(settings) {
    const int num_groups = cost.num_groups();
    for (int group = 0; group < num_groups; ++group) {
      program_.meetings.push_back({cost.num_members(group), cost.group(group).reduce_ns});
      program_.meetings.push_back({cost.num_members(group), cost.group(group).gather_ns});
    }
    program_.meetings.push_back({cost.num_ranks(), cost.clip_ns()});
    known_.resize(schedule.devices.size());
  }

  Result<Program> run() {
    program_.ops.resize(schedule_.actions.size());
    for (size_t rank = 0; rank < schedule_.actions.size(); ++rank) {
      SKARV_TRY(add_rank(static_cast<int>(rank)));
    }
    return std::move(program_);
  }

 private:
  // Messages of one border, by their receiver.
  struct Known {
    ActionKind kind;  // of the receive
    int pipeline, stage, from;
    int first_message;
  };

  Status add_rank(int rank) {
    std::vector<Op>& ops = program_.ops[rank];
    ops.reserve(schedule_.actions[rank].size());
    const std::vector<std::string> alone = {schedule_.devices[rank]};
    const std::vector<Pipeline>& pipelines = cost_.fold().island.pipelines;
    // A tensor-parallel group computes in lockstep: one noise, and the pace of its slowest.
    const std::vector<std::string>* group = &alone;
    std::optional<CounterRandom> random(std::in_place, settings_.seed, alone.front());
    double factor = slowest_of(alone);
    for (const Action& action : schedule_.actions[rank]) {
      const std::vector<std::string>* const now =
          action.pipeline < 0 ? &alone : &pipelines[action.pipeline].stages[action.stage].devices;
      if (now != group) {
        group = now;
        random.emplace(settings_.seed, group->front());
        factor = slowest_of(*group);
      }
      switch (action.kind) {
        case kSendActivation:
        case kSendGradient: {
          const bool forward = action.kind == kSendActivation;
          SKARV_ASSIGN(
              const int message,
              message_of(forward ? kReceiveActivation : kReceiveGradient, action.pipeline,
                         action.stage + (forward ? 1 : -1), action.microbatch, rank, action.peer));
          ops.push_back({Op::Kind::kSend, message, action.bytes});
          break;
        }
        case kReceiveActivation:
        case kReceiveGradient: {
          SKARV_ASSIGN(const int message, message_of(action.kind, action.pipeline, action.stage,
                                                     action.microbatch, action.peer, rank));
          ops.push_back({Op::Kind::kReceive, message, action.bytes});
          break;
        }
        case kReduce:
          ops.push_back({Op::Kind::kMeet, 2 * action.group, 0});
          break;
        case kGather:
          ops.push_back({Op::Kind::kMeet, 2 * action.group + 1, 0});
          break;
        case kClip:
          ops.push_back({Op::Kind::kMeet, static_cast<int>(program_.meetings.size()) - 1, 0});
          break;
        default:
          ops.push_back({Op::Kind::kCompute, 0, duration(rank, action, factor, *random)});
      }
    }
    return {};
  }

  double slowest_of(const std::vector<std::string>& devices) const {
    double factor = 0;
    for (const std::string& device : devices) {
      const auto slow = settings_.slowdown.find(device);
      factor = std::max(factor, slow == settings_.slowdown.end() ? 1.0 : slow->second);
    }
    return factor;
  }

  int64_t duration(int rank, const Action& action, double factor,
                   const CounterRandom& random) const {
    int64_t time = cost_.compute_ns(rank, action);
    if (time == 0) return 0;
    if (settings_.jitter > 0) {
      // By what the action is, so that all members of a group draw the same.
      const uint64_t index = (static_cast<uint64_t>(action.stage + 1) << 40) +
                             (static_cast<uint64_t>(action.microbatch + action.group + 2) << 4) +
                             static_cast<uint64_t>(action.kind);
      factor *= std::max(0.1, 1 + settings_.jitter * static_cast<double>(random.normal(index)));
    }
    if (factor != 1) time = std::llround(static_cast<double>(time) * factor);
    return time + settings_.start_up.action_ns;
  }

  Result<int> message_of(ActionKind kind, int pipeline, int stage, int microbatch, int from,
                         int to) {
    std::vector<Known>& known = known_[to];
    for (Known& one : known) {
      if (one.kind == kind && one.stage == stage && one.from == from && one.pipeline == pipeline) {
        return one.first_message + microbatch;
      }
    }
    SKARV_ASSIGN(const Route* route, routes_.find(from, to));
    const auto first = static_cast<int>(program_.edge_of_message.size());
    const auto edge = static_cast<int32_t>(program_.edges.size());
    program_.edges.push_back({from, to, route});
    const int count = cost_.fold().island.pipelines[pipeline].num_microbatches();
    program_.edge_of_message.insert(program_.edge_of_message.end(), count, edge);
    known.push_back({kind, pipeline, stage, from, first});
    return first + microbatch;
  }

  const Schedule& schedule_;
  const IslandCost& cost_;
  Routes& routes_;
  const StepSettings& settings_;
  std::vector<std::vector<Known>> known_;
  Program program_;
};

}  // namespace

Status check_settings(const StepSettings& settings) {
  const auto wrong = [](const std::string& what, const std::string& where) {
    return config_error(what).at(where).with_hint("give a figure that is not negative");
  };
  if (!(settings.jitter >= 0 && settings.jitter <= 1)) {
    return config_error(cat("a jitter of ", settings.jitter))
        .at("jitter")
        .with_hint("give a fraction of each action's time, 0 to 1");
  }
  for (const auto& [device, factor] : settings.slowdown) {
    if (!(factor > 0 && factor <= 1e6)) {
      return config_error(cat("a slowdown of ", factor, " for ", device))
          .at("slowdown")
          .with_hint("1 is as fast as the profile says, 2 takes twice as long");
    }
  }
  if (settings.start_up.step_ns < 0) return wrong("a negative time", "start_up.step");
  if (settings.start_up.action_ns < 0) return wrong("a negative time", "start_up.action");
  if (settings.start_up.message_ns < 0) return wrong("a negative time", "start_up.message");
  return {};
}

Result<Program> compile(const Schedule& schedule, const IslandCost& cost, Routes& routes,
                        const StepSettings& settings) {
  return Compiler(schedule, cost, routes, settings).run();
}

}  // namespace skarv
