#include "plan/simulate/step_report.h"

#include <algorithm>

#include "base/text.h"
#include "spec/stage_map.h"

namespace skarv {
namespace {

double seconds(int64_t nanoseconds) { return static_cast<double>(nanoseconds) * 1e-9; }
std::string show_bytes(int64_t bytes) { return human_bytes(static_cast<double>(bytes)); }
std::string percent(double part) { return fixed(100 * part, 1) + " %"; }

int num_like(const IslandStep& step, int rank) {
  return static_cast<int>(std::ranges::count(step.fold.folded_rank, rank));
}

std::string layers_of(const IslandStep& step, int rank) {
  std::string text;
  const StageMap map(step.fold.island);
  for (const StageMap::Seat& seat : map.seats_of(rank)) {
    const Stage& stage = step.fold.island.pipelines[seat.pipeline].stages[seat.stage];
    text += cat(text.empty() ? "" : " ", stage.first, "-", stage.last - 1);
  }
  return text;
}

std::string peak_of(const IslandStep& step, int rank) {
  const int action = step.memory[rank].peak_action;
  if (step.memory[rank].buffers > 0) return "reduce";
  return action < 0 ? "" : to_string(step.schedule.actions[rank][action]);
}

// "waits for" of a rank: who, and for what part of the step.
std::string awaited_of(const IslandStep& step, int rank) {
  const RankUse& use = step.trace.use[rank];
  if (use.awaited < 0 || step.trace.step_ns == 0) return "";
  return cat(step.schedule.devices[use.awaited], " ",
             percent(seconds(use.awaited_ns) / step.step_seconds()));
}

std::string island_table(const IslandStep& step) {
  std::vector<std::vector<std::string>> rows = {{"device", "like it", "layers", "compute", "bubble",
                                                 "exposed", "collective", "done", "memory", "of",
                                                 "peak in", "waits for"}};
  const double whole = std::max(1e-9, step.step_seconds());
  for (int rank = 0; rank < step.fold.num_ranks(); ++rank) {
    const RankUse& use = step.trace.use[rank];
    const auto part = [&](int64_t time) { return percent(seconds(time) / whole); };
    rows.push_back({step.schedule.devices[rank], cat(num_like(step, rank)), layers_of(step, rank),
                    part(use.compute_ns + use.start_up_ns), part(use.bubble_ns),
                    part(use.exposed_ns), part(use.collective_ns), part(use.done_ns),
                    show_bytes(step.memory[rank].total()), show_bytes(step.memory[rank].limit),
                    peak_of(step, rank), awaited_of(step, rank)});
  }
  return format_table(rows);
}

std::string wire_table(const IslandStep& step) {
  std::vector<WireFigures> wires = step.trace.wires;
  std::erase_if(wires, [](const WireFigures& one) { return one.bytes == 0; });
  if (wires.empty()) return "";
  std::ranges::stable_sort(wires, std::greater<>(), [&](const WireFigures& one) {
    return one.utilisation(step.trace.step_ns);
  });
  constexpr size_t kMost = 12;
  std::vector<std::vector<std::string>> rows = {{"wire", "like it", "bytes a step", "of", "used"}};
  for (size_t i = 0; i < std::min(kMost, wires.size()); ++i) {
    rows.push_back({wires[i].wire.name, cat(wires[i].wire.num_like_it), show_bytes(wires[i].bytes),
                    show_bytes(wires[i].wire.capacity) + "/s",
                    percent(wires[i].utilisation(step.trace.step_ns))});
  }
  std::string text = format_table(rows);
  if (wires.size() > kMost) text += cat("(", wires.size() - kMost, " wires less used)\n");
  return text;
}

std::string round_text(const PlanStep& step) {
  const OuterRound& round = step.round;
  const auto time = [](int64_t nanoseconds) { return human_seconds(seconds(nanoseconds)); };
  if (step.islands.size() < 2) return "";
  std::string text =
      cat("round of ", round.steps, " steps: ", time(round.compute_ns), " of training, ",
          show_bytes(round.bytes), " between sites; a fragment takes ", time(round.round_trip_ns()),
          " (contribute ", time(round.contribute_ns), ", merged ", time(round.merged_ns),
          ", five trips ", time(round.trips_ns), ", keepers ", time(round.keeper_ns), "), ",
          time(round.overlap_ns), " of it hidden, ", time(round.exposed_ns),
          " waited: utilisation ", percent(round.utilisation), "\n");
  for (size_t i = 0; i < step.names.size(); ++i) {
    if (round.waits[i] < 0.0005) continue;
    text += cat(step.names[i], " waits for ", round.slowest, ": ", percent(round.waits[i]),
                " of its time\n");
  }
  return text;
}

std::string goodput_text(const Goodput& goodput) {
  if (goodput.expected_failures == 0) return "";
  std::string text =
      cat("a day with ", fixed(goodput.num_failures, 3), " failures (",
          fixed(goodput.expected_failures, 3), " by the mean times): goodput ",
          percent(goodput.fraction()), "; standing still ", human_seconds(goodput.seconds_down),
          ", trained twice ", human_seconds(goodput.seconds_lost));
  if (goodput.seconds_paused > 0) {
    text += cat(", waiting for a quorum ", human_seconds(goodput.seconds_paused));
  }
  return text + "\n";
}

bool is_compute(ActionKind kind) {
  return kind == ActionKind::kForward || kind == ActionKind::kBackward ||
         kind == ActionKind::kBackwardInput || kind == ActionKind::kBackwardWeight ||
         kind == ActionKind::kUpdate;
}

Json to_json(const RankUse& use, const IslandStep& step) {
  Json json = {{"start_up", seconds(use.start_up_ns)},     {"compute", seconds(use.compute_ns)},
               {"bubble", seconds(use.bubble_ns)},         {"exposed", seconds(use.exposed_ns)},
               {"collective", seconds(use.collective_ns)}, {"done", seconds(use.done_ns)}};
  if (use.awaited >= 0) {
    json["waits_for"] = step.schedule.devices[use.awaited];
    json["waits_for_seconds"] = seconds(use.awaited_ns);
  }
  return json;
}

Json memory_json(const IslandStep& step, int rank) {
  const DeviceMemory& memory = step.memory[rank];
  return {{"weights", memory.weights},     {"gradients", memory.gradients},
          {"optimizer", memory.optimizer}, {"activations", memory.activations},
          {"buffers", memory.buffers},     {"allocated", memory.allocated()},
          {"base", memory.base},           {"reserve", memory.reserve},
          {"total", memory.total()},       {"limit", memory.limit},
          {"fits", memory.fits()},         {"peak_in", peak_of(step, rank)}};
}

Json to_json(const OuterRound& round, const std::vector<std::string>& advice) {
  Json transfers = Json::array();
  for (const TransferFigures& one : round.transfers) {
    transfers.push_back(
        {{"from", one.from}, {"to", one.to}, {"bytes", one.bytes}, {"bandwidth", one.bandwidth}});
  }
  return {{"steps", round.steps},
          {"compute", seconds(round.compute_ns)},
          {"contribute", seconds(round.contribute_ns)},
          {"merged", seconds(round.merged_ns)},
          {"trips", seconds(round.trips_ns)},
          {"keepers", seconds(round.keeper_ns)},
          {"overlap", seconds(round.overlap_ns)},
          {"exposed", seconds(round.exposed_ns)},
          {"utilisation", round.utilisation},
          {"bytes", round.bytes},
          {"transfers", std::move(transfers)},
          {"advice", advice}};
}

Json metadata(const char* kind, int process, int thread, const std::string& name) {
  return {
      {"ph", "M"}, {"name", kind}, {"pid", process}, {"tid", thread}, {"args", {{"name", name}}}};
}

Json slice(const std::string& name, const char* category, int process, int thread,
           const ActionSpan& span, const Action& action) {
  const auto microseconds = [](int64_t time) { return static_cast<double>(time) * 1e-3; };
  return {{"ph", "X"},
          {"name", name},
          {"cat", category},
          {"pid", process},
          {"tid", thread},
          {"ts", microseconds(span.begin)},
          {"dur", microseconds(span.end - span.begin)},
          {"args", {{"action", to_string(action)}, {"bytes", action.bytes}}}};
}

void add_actions(Json& events, int process, const IslandStep& island, int rank) {
  events.push_back(metadata("thread_name", process, 0, "actions"));
  const std::vector<Action>& actions = island.schedule.actions[rank];
  for (size_t a = 0; a < actions.size(); ++a) {
    const ActionSpan& span = island.trace.spans[rank][a];
    if (span.end == span.begin) continue;
    const Action& action = actions[a];
    events.push_back(slice(name_of(action.kind), is_compute(action.kind) ? "compute" : "transfer",
                           process, 0, span, action));
    if (a < island.activations[rank].size()) {
      events.push_back({{"ph", "C"},
                        {"name", "activations"},
                        {"pid", process},
                        {"ts", events.back()["ts"]},
                        {"args", {{"bytes", island.activations[rank][a]}}}});
    }
  }
}

// What the rank has sent, until it is there. The next one leaves while the last still waits out its
// latency, so a track for each that is on its way at the same time: the first that is free.
void add_messages(Json& events, int process, const IslandStep& island, int rank) {
  std::vector<int64_t> free_at;  // by track
  size_t next = 0;
  for (const Action& action : island.schedule.actions[rank]) {
    const bool is_forward = action.kind == ActionKind::kSendActivation;
    if (!is_forward && action.kind != ActionKind::kSendGradient) continue;
    const ActionSpan& span = island.trace.transfers[rank][next++];
    const auto found =
        std::ranges::find_if(free_at, [&](int64_t time) { return time <= span.begin; });
    const auto track = static_cast<int>(found - free_at.begin()) + 1;  // 0: the actions
    if (found == free_at.end()) {
      events.push_back(metadata("thread_name", process, track, "messages"));
      free_at.push_back(span.end);
    } else {
      *found = span.end;
    }
    events.push_back(slice(cat("stage ", action.stage, " to ", action.stage + (is_forward ? 1 : -1),
                               ", microbatch ", action.microbatch),
                           "message", process, track, span, action));
  }
}

}  // namespace

std::string to_table(const PlanStep& step, const Plan& plan) {
  std::string text;
  for (size_t i = 0; i < step.islands.size(); ++i) {
    const IslandStep& island = step.islands[i];
    text += cat(step.names[i], ": step ", human_seconds(island.step_seconds()), ", ",
                step.samples[i], " samples, ", island.fold.folded_rank.size(), " devices in ",
                island.fold.num_ranks(), island.fold.num_ranks() == 1 ? " class" : " classes", "\n",
                island_table(island), wire_table(island), "\n");
  }
  for (const IdleDevice& idle : plan.idle) {
    text += cat(idle.device, " stays idle: ", idle.reason, "\n");
  }
  text += round_text(step);
  for (const auto& [name, host] : step.hosts) {
    if (host.limit > 0 && host.keeper > host.limit) {
      text += cat("host ", name, ": the keeper needs ", show_bytes(host.keeper), " of ",
                  show_bytes(host.limit), "\n");
    }
  }
  const std::string overflow = step.overflow();
  if (!overflow.empty()) text += cat("does not fit: ", overflow, "\n");
  text += goodput_text(step.goodput);
  for (const std::string& one : step.advice) text += cat("advice: ", one, "\n");
  text += cat("predicted", step.estimated ? " from the catalog, not measured" : "", ": step ",
              human_seconds(step.step_seconds()), ", ", fixed(step.tokens_per_second(), 1),
              " tokens/s\n");
  return text;
}

Json to_json(const PlanStep& step, const Plan&) {
  Json islands = Json::array(), hosts = Json::object();
  for (size_t i = 0; i < step.islands.size(); ++i) {
    const IslandStep& island = step.islands[i];
    Json devices = Json::array(), wires = Json::array(), groups = Json::array();
    for (int rank = 0; rank < island.fold.num_ranks(); ++rank) {
      devices.push_back({{"device", island.schedule.devices[rank]},
                         {"like_it", num_like(island, rank)},
                         {"layers", layers_of(island, rank)},
                         {"seconds", to_json(island.trace.use[rank], island)},
                         {"memory", memory_json(island, rank)}});
    }
    for (const WireFigures& one : island.trace.wires) {
      wires.push_back({{"name", one.wire.name},
                       {"like_it", one.wire.num_like_it},
                       {"bytes", one.bytes},
                       {"bandwidth", one.wire.capacity},
                       {"utilisation", one.utilisation(island.trace.step_ns)}});
    }
    for (size_t group = 0; group < island.groups.size(); ++group) {
      const GroupTimes& times = island.groups[group];
      groups.push_back({{"members", island.loads[group].members.size()},
                        {"elements", island.loads[group].num_elements},
                        {"reduce", seconds(times.reduce_ns)},
                        {"gather", seconds(times.gather_ns)},
                        {"reduce_bytes", times.reduce_bytes},
                        {"gather_bytes", times.gather_bytes}});
    }
    islands.push_back({{"name", step.names[i]},
                       {"samples", step.samples[i]},
                       {"step_seconds", island.step_seconds()},
                       {"num_devices", island.fold.folded_rank.size()},
                       {"num_actions", island.trace.num_actions},
                       {"devices", std::move(devices)},
                       {"wires", std::move(wires)},
                       {"groups", std::move(groups)}});
  }
  for (const auto& [name, host] : step.hosts) {
    hosts[name] = {{"keeper_bytes", host.keeper}, {"limit", host.limit}};
  }
  return {{"estimated", step.estimated},
          {"step_seconds", step.step_seconds()},
          {"tokens_per_second", step.tokens_per_second()},
          {"overflow", step.overflow()},
          {"islands", std::move(islands)},
          {"hosts", std::move(hosts)},
          {"round", to_json(step.round, step.advice)},
          {"goodput",
           {{"fraction", step.goodput.fraction()},
            {"failures_a_day", step.goodput.num_failures},
            {"expected_failures_a_day", step.goodput.expected_failures},
            {"seconds_down", step.goodput.seconds_down},
            {"seconds_lost", step.goodput.seconds_lost},
            {"seconds_paused", step.goodput.seconds_paused}}}};
}

Json to_trace(const PlanStep& step) {
  Json events = Json::array();
  int process = 0;
  for (size_t i = 0; i < step.islands.size(); ++i) {
    const IslandStep& island = step.islands[i];
    for (int rank = 0; rank < island.fold.num_ranks(); ++rank, ++process) {
      events.push_back(metadata(
          "process_name", process, 0,
          cat(step.names[i], " ", island.schedule.devices[rank], " x ", num_like(island, rank))));
      add_actions(events, process, island, rank);
      add_messages(events, process, island, rank);
    }
  }
  return {{"traceEvents", std::move(events)}};
}

}  // namespace skarv
