#include "device/profile_ops.h"

#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/record_function.h>
#include <c10/core/DeviceType.h>

#include <algorithm>
#include <chrono>
#include <mutex>
#include <optional>
#include <unordered_map>

namespace skarv {
namespace {

using SteadyTime = std::chrono::steady_clock::time_point;

struct Totals {
  int64_t num_calls = 0;
  double seconds = 0;
};

// Shared by all threads; ops of one process are few thousand a step, so one lock will do.
struct Collector {
  std::mutex mutex;
  std::unordered_map<c10::OperatorName, Totals> totals;
};
Collector& collector() {
  static auto* const instance = new Collector;
  return *instance;
}

// One op in flight. Callbacks of one thread nest like the calls.
struct OpInFlight : at::ObserverContext {
  SteadyTime start;
  double seconds_of_callees = 0;
  OpInFlight* caller = nullptr;
};
thread_local OpInFlight* innermost = nullptr;

std::unique_ptr<at::ObserverContext> on_start(const at::RecordFunction&) {
  auto op = std::make_unique<OpInFlight>();
  op->caller = innermost;
  innermost = op.get();
  op->start = std::chrono::steady_clock::now();
  return op;
}

void on_end(const at::RecordFunction& function, at::ObserverContext* context) {
  const SteadyTime end = std::chrono::steady_clock::now();
  auto* op = static_cast<OpInFlight*>(context);
  const double seconds = std::chrono::duration<double>(end - op->start).count();
  innermost = op->caller;
  if (op->caller != nullptr) op->caller->seconds_of_callees += seconds;
  const std::optional<c10::OperatorName> name = function.operator_name();
  if (!name) return;
  const std::lock_guard lock(collector().mutex);
  Totals& totals = collector().totals[*name];
  ++totals.num_calls;
  totals.seconds += seconds - op->seconds_of_callees;
}

// Without a kernel for the plug-in's key, and not made of other ops, only its fallback is left.
bool falls_back(const c10::OperatorName& name) {
  if (!c10::is_privateuse1_backend_registered()) return false;
  const std::optional<c10::OperatorHandle> op = c10::Dispatcher::singleton().findOp(name);
  if (!op) return false;
  for (const c10::DispatchKey key :
       {c10::DispatchKey::PrivateUse1, c10::DispatchKey::CompositeExplicitAutogradNonFunctional,
        c10::DispatchKey::CompositeExplicitAutograd, c10::DispatchKey::CompositeImplicitAutograd}) {
    if (op->hasKernelForDispatchKey(key)) return false;
  }
  return true;
}

}  // namespace

struct OpProfiler::State {
  at::CallbackHandle handle;
};

OpProfiler::OpProfiler() {
  collector().totals.clear();
  const at::CallbackHandle handle = at::addGlobalCallback(
      at::RecordFunctionCallback(&on_start, &on_end).scopes({at::RecordScope::FUNCTION}));
  state_ = std::make_unique<State>(State{handle});
}

OpProfiler::~OpProfiler() { stop(); }

OpProfile OpProfiler::stop() {
  OpProfile profile;
  if (!state_) return profile;
  at::removeCallback(state_->handle);
  state_.reset();
  const std::lock_guard lock(collector().mutex);
  for (const auto& [name, totals] : collector().totals) {
    const OpProfile::Row row{c10::toString(name), totals.num_calls, totals.seconds,
                             falls_back(name)};
    profile.seconds += row.seconds;
    profile.fallback_seconds += row.is_fallback ? row.seconds : 0;
    profile.rows.push_back(row);
  }
  std::sort(profile.rows.begin(), profile.rows.end(),
            [](const auto& a, const auto& b) { return a.seconds > b.seconds; });
  return profile;
}

Json to_json(const OpProfile& profile) {
  Json ops = Json::array();
  for (const OpProfile::Row& row : profile.rows) {
    ops.push_back({{"op", row.op},
                   {"calls", row.num_calls},
                   {"seconds", row.seconds},
                   {"fallback", row.is_fallback}});
  }
  return {{"seconds", profile.seconds},
          {"fallback_share", profile.fallback_share()},
          {"ops", std::move(ops)}};
}

}  // namespace skarv
