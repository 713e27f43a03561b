#include "accuracy/framework_step.h"

#include <algorithm>

#include "base/text.h"
#include "plan/schedule/builder.h"

namespace skarv::accuracy {
namespace {

using enum ActionKind;

// A plan's island with a layer a stage and a device a stage.
Island island_of(const FrameworkStep& step) {
  Island island;
  for (size_t p = 0; p < step.pipelines.size(); ++p) {
    Pipeline& pipeline = island.pipelines.emplace_back();
    pipeline.samples = step.num_microbatches;
    for (size_t s = 0; s < step.pipelines[p].size(); ++s) {
      const auto layer = static_cast<int>(s);
      pipeline.stages.push_back({layer, layer + 1, {cat("site/", p, "/", s)}});
    }
  }
  return island;
}

// Once the pipeline is full: the gradient that comes back is that of the microbatch which was sent
// as many before as there are stages to come.
void put_gradients_first(std::vector<Action>& actions, int num_later_stages) {
  for (size_t i = 1; i < actions.size(); ++i) {
    Action &sent = actions[i - 1], &received = actions[i];
    if (sent.kind == kSendActivation && received.kind == kReceiveGradient &&
        sent.microbatch - received.microbatch == num_later_stages) {
      std::swap(sent, received);
    }
  }
}

class Translator {
 public:
  Translator(const FrameworkStep& step, const Island& island)
      : step_(step),
        num_stages_(static_cast<int>(island.pipelines.front().stages.size())),
        num_pipelines_(static_cast<int>(island.pipelines.size())) {
    // Two edges for each border of each pipeline: forward, then backward.
    routes_.resize(2 * num_pipelines_ * std::max(num_stages_ - 1, 0));
    for (int p = 0; p < num_pipelines_; ++p) {
      for (int s = 0; s + 1 < num_stages_; ++s) {
        const StageTimes& stage = step.pipelines[p][s];
        for (const bool forward : {true, false}) {
          const int edge = edge_of(p, s, forward);
          routes_[edge] = {stage.to_next, 0, forward ? stage.forward_wires : stage.backward_wires};
          const int from = p * num_stages_ + s, to = from + 1;
          program_.edges.push_back({forward ? from : to, forward ? to : from, &routes_[edge]});
          program_.edge_of_message.insert(program_.edge_of_message.end(), step.num_microbatches,
                                          edge);
        }
      }
    }
    for (int s = 0; s < num_stages_; ++s) {
      program_.meetings.push_back({num_pipelines_, step.reduce_ns[s]});
    }
    program_.meetings.push_back({num_pipelines_ * num_stages_, 0});  // norm and overflow: all wait
  }

  Program program(Schedule schedule) {
    for (std::vector<Action>& actions : schedule.actions) {
      const int stage = static_cast<int>(program_.ops.size()) % num_stages_;
      if (step_.gradient_before_activation) put_gradients_first(actions, num_stages_ - 1 - stage);
      add_rank(actions);
    }
    return std::move(program_);
  }

 private:
  int edge_of(int pipeline, int border, bool forward) const {
    return 2 * (pipeline * (num_stages_ - 1) + border) + (forward ? 0 : 1);
  }
  int message_of(const Action& action, int border, bool forward) const {
    return edge_of(action.pipeline, border, forward) * step_.num_microbatches + action.microbatch;
  }

  void add_rank(const std::vector<Action>& actions) {
    const auto rank = static_cast<int>(program_.ops.size());
    const int stage = rank % num_stages_;
    const StageTimes& times = step_.pipelines[rank / num_stages_][stage];
    std::vector<Op>& ops = program_.ops.emplace_back();
    const auto add = [&](Op::Kind kind, int target, int64_t value) {
      ops.push_back({kind, target, value});
    };
    for (const Action& action : actions) {
      switch (action.kind) {
        case kForward:
          add(Op::Kind::kCompute, 0, times.forward_ns);
          break;
        case kBackward:
          add(Op::Kind::kCompute, 0, times.backward_ns);
          break;
        case kSendActivation:
          add(Op::Kind::kSend, message_of(action, stage, true), action.bytes);
          break;
        case kReceiveActivation:
          add(Op::Kind::kReceive, message_of(action, stage - 1, true), action.bytes);
          break;
        case kSendGradient:
          add(Op::Kind::kSend, message_of(action, stage - 1, false), action.bytes);
          break;
        case kReceiveGradient:
          add(Op::Kind::kReceive, message_of(action, stage, false), action.bytes);
          break;
        default:  // the step's end follows for all ranks alike
          break;
      }
    }
    add(Op::Kind::kMeet, stage, 0);
    add(Op::Kind::kMeet, num_stages_, 0);
    add(Op::Kind::kCompute, 0, times.update_ns);
  }

  const FrameworkStep& step_;
  int num_stages_, num_pipelines_;
  std::vector<Route> routes_;  // what the program's edges point to
  Program program_;
};

// The builder's collectives are those of Skarv's own step; a framework's are added above.
const SlabTable& smallest_table() {
  static const SlabTable table(Model{1, 2, 1, 1, 1, 2, 2, 1}, 1);
  return table;
}

}  // namespace

Result<int64_t> play_step(const FrameworkStep& step) {
  const Island island = island_of(step);
  Ownership ownership;
  ownership.devices = island.devices();
  Payloads payloads;
  payloads.output_bytes.assign(island.pipelines.front().stages.size(), step.message_bytes);
  SKARV_ASSIGN(Schedule schedule, build_schedule(island, ownership, smallest_table(), payloads));
  Translator translator(step, island);
  const Program program = translator.program(std::move(schedule));  // the translator outlives it
  StepSettings settings;
  settings.start_up.step_ns = step.step_ns;
  settings.keep_spans = false;
  SKARV_ASSIGN(const StepTrace trace, play(program, step.wires, settings));
  return trace.step_ns;
}

}  // namespace skarv::accuracy
