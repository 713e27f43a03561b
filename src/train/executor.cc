#include "train/executor.h"

namespace skarv::train {
namespace {

Result<int64_t> perform(const Action& action, StepBackend& backend) {
  switch (action.kind) {
    case ActionKind::kReceiveActivation:
      return backend.receive_activation(action);
    case ActionKind::kForward:
      return backend.forward(action);
    case ActionKind::kSendActivation:
      return backend.send_activation(action);
    case ActionKind::kReceiveGradient:
      return backend.receive_gradient(action);
    case ActionKind::kBackward:
      return backend.backward(action);
    case ActionKind::kBackwardInput:
      return backend.backward_input(action);
    case ActionKind::kBackwardWeight:
      return backend.backward_weight(action);
    case ActionKind::kSendGradient:
      return backend.send_gradient(action);
    case ActionKind::kReduce:
      return backend.reduce(action);
    case ActionKind::kClip:
      return backend.clip(action);
    case ActionKind::kUpdate:
      return backend.update(action);
    case ActionKind::kGather:
      return backend.gather(action);
  }
  return bug("action of unknown kind");
}

}  // namespace

bool is_compute(ActionKind kind) {
  return kind == ActionKind::kForward || kind == ActionKind::kBackward ||
         kind == ActionKind::kBackwardInput || kind == ActionKind::kBackwardWeight ||
         kind == ActionKind::kUpdate;
}

Status execute(const std::vector<Action>& actions, StepBackend& backend, Clock& clock,
               Progress& progress, std::vector<ActionRecord>* records) {
  records->clear();
  records->reserve(actions.size());
  for (const Action& action : actions) {
    progress.begin(to_string(action));
    ActionRecord record{.action = action, .start = clock.now()};
    auto moved = perform(action, backend);
    if (!moved.ok()) return moved.status().wrap(to_string(action));
    record.bytes = *moved;
    record.end = clock.now();
    records->push_back(record);
    progress.end();
  }
  return Status();
}

}  // namespace skarv::train
