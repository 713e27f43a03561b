// Executes the action list of one rank, in order, against whatever does the work: the real one
// (rank_backend.h), or a dry one in tests. The list is data: nothing here or behind it asks which
// builder made it.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "spec/schedule.h"
#include "train/progress.h"

namespace skarv::train {

// One virtual for each kind of action. Transfers return the payload bytes that they moved, as
// Action::bytes counts them; computing returns 0.
class StepBackend {
 public:
  virtual ~StepBackend() = default;
  virtual Result<int64_t> receive_activation(const Action& action) = 0;
  virtual Result<int64_t> forward(const Action& action) = 0;
  virtual Result<int64_t> send_activation(const Action& action) = 0;
  virtual Result<int64_t> receive_gradient(const Action& action) = 0;
  virtual Result<int64_t> backward(const Action& action) = 0;
  virtual Result<int64_t> backward_input(const Action& action) = 0;
  virtual Result<int64_t> backward_weight(const Action& action) = 0;
  virtual Result<int64_t> send_gradient(const Action& action) = 0;
  virtual Result<int64_t> reduce(const Action& action) = 0;
  virtual Result<int64_t> clip(const Action& action) = 0;
  virtual Result<int64_t> update(const Action& action) = 0;
  virtual Result<int64_t> gather(const Action& action) = 0;
};

struct ActionRecord {
  Action action;
  int64_t bytes = 0;  // moved in fact
  Time start{}, end{};
};

// True for forward, the backwards and update: what occupies the device.
bool is_compute(ActionKind kind);

// Stops at the first error, with the action in its text; `records` then ends with the action
// before.
Status execute(const std::vector<Action>& actions, StepBackend& backend, Clock& clock,
               Progress& progress, std::vector<ActionRecord>* records);

}  // namespace skarv::train
