#include "closing.h"

#include <algorithm>
#include <cmath>

#include "base/text.h"

namespace skarv {

namespace {

int64_t total_tokens(const Closing& closing) {
  int64_t tokens = 0;
  for (const IslandProgress& island : closing.islands) tokens += island.tokens;
  return tokens;
}

double step_seconds(const Closing& closing) {
  double slowest = 0;
  for (const IslandProgress& island : closing.islands)
    slowest = std::max(slowest, island.step_seconds);
  return slowest;
}

int64_t wan_bytes(const Closing& closing) {
  int64_t sent = 0;
  for (const IslandProgress& island : closing.islands) sent += island.wan_sent;
  return sent;
}

int64_t num_rounds(const Closing& closing) {
  int64_t rounds = 0;
  for (const IslandProgress& island : closing.islands) rounds = std::max(rounds, island.rounds);
  return rounds;
}

bool digests_equal(const Closing& closing) {
  return std::all_of(closing.islands.begin(), closing.islands.end(),
                     [&](const IslandProgress& island) {
                       return !island.state_digest.empty() &&
                              island.state_digest == closing.islands.front().state_digest;
                     });
}

double mixed_efficiency(const Closing& closing) {
  return closing.predicted.sum_of_parts > 0
             ? tokens_per_second(closing) / closing.predicted.sum_of_parts
             : 0;
}

double predicted_peak(const Closing& closing, const std::string& device) {
  for (const DeviceReport& report : closing.predicted.devices) {
    if (report.device == device) return static_cast<double>(report.memory.allocated());
  }
  return 0;
}

double alone(const Closing& closing, const std::string& device) {
  for (const DeviceReport& report : closing.predicted.devices) {
    if (report.device == device) return report.alone_tokens_per_second;
  }
  return 0;
}

std::string percent(double part) { return fixed(part * 100, 1) + " %"; }

}  // namespace

double tokens_per_second(const Closing& closing) {
  double rate = 0;
  for (const IslandProgress& island : closing.islands) {
    if (island.seconds > 0) rate += static_cast<double>(island.tokens) / island.seconds;
  }
  return rate;
}

double wan_efficiency(const IslandProgress& island) {
  return island.seconds > 0 ? 1 - island.outer_wait_seconds / island.seconds : 0;
}

Json to_json(const Closing& closing) {
  Json islands = Json::array();
  for (const IslandProgress& island : closing.islands) {
    Json json = to_json(island);
    json["wan_efficiency"] = wan_efficiency(island);
    for (Json& device : json["devices"]) {
      const std::string name = device["device"];
      device["alone_tokens_per_second"] = alone(closing, name);
      device["predicted_peak_bytes"] = predicted_peak(closing, name);
    }
    islands.push_back(std::move(json));
  }
  const int64_t rounds = std::max<int64_t>(1, num_rounds(closing));
  return {{"run", closing.run.name},
          {"wall_seconds", closing.wall_seconds},
          {"tokens", total_tokens(closing)},
          {"tokens_per_second", tokens_per_second(closing)},
          {"sum_of_parts_tokens_per_second", closing.predicted.sum_of_parts},
          {"mixed_efficiency", mixed_efficiency(closing)},
          {"integer_bound", closing.predicted.integer_bound},
          {"step_seconds", step_seconds(closing)},
          {"predicted_step_seconds", closing.predicted.step_seconds},
          {"validation_loss", closing.validation_loss},
          {"unigram_loss", closing.data.unigram_nats},
          {"rounds", num_rounds(closing)},
          {"wan_bytes_sent", wan_bytes(closing)},
          {"wan_bytes_per_round", wan_bytes(closing) / rounds},
          {"relayed_bytes", closing.relayed_bytes},
          {"resumed", closing.resumed},
          {"digests_equal", digests_equal(closing)},
          {"folder", closing.folder},
          {"export", closing.exported},
          {"trace", closing.trace},
          {"islands", islands}};
}

std::string to_text(const Closing& closing) {
  std::string text;
  std::vector<std::vector<std::string>> rows = {{"device", "chip", "alone tok/s", "tokens", "busy",
                                                 "waits", "peak (predicted)", "late slots"}};
  for (const IslandProgress& island : closing.islands) {
    for (const DeviceProgress& device : island.devices) {
      const double seconds = std::max(1e-9, island.seconds);
      rows.push_back(
          {device.device,
           device.chip + (device.pace > 0 ? cat(" paced ", fixed(device.pace, 2)) : ""),
           fixed(alone(closing, device.device), 0), human_count(static_cast<double>(device.tokens)),
           percent(device.busy_seconds / seconds), percent(device.wait_seconds / seconds),
           human_bytes(static_cast<double>(device.peak_bytes)) + " (" +
               human_bytes(predicted_peak(closing, device.device)) + ")",
           cat(device.missed_slots)});
    }
  }
  text += format_table(rows) + "\n";

  rows = {{"island", "steps", "tok/s", "WAN efficiency", "WAN sent", "per round", "restarts",
           "keeper's own digest"}};
  for (const IslandProgress& island : closing.islands) {
    const double rounds = static_cast<double>(std::max<int64_t>(1, island.rounds));
    rows.push_back(
        {island.island, cat(island.steps),
         fixed(island.seconds > 0 ? static_cast<double>(island.tokens) / island.seconds : 0, 0),
         percent(wan_efficiency(island)), human_bytes(static_cast<double>(island.wan_sent)),
         human_bytes(static_cast<double>(island.wan_sent) / rounds),
         cat(island.worker_restarts + island.agent_starts - 1), island.state_digest.substr(0, 16)});
  }
  text += format_table(rows) + "\n";

  const double predicted = closing.predicted.step_seconds, measured = step_seconds(closing);
  const double gain = closing.data.unigram_nats - closing.validation_loss;
  rows = {{"", "value", ""}};
  rows.push_back({"validation loss", fixed(closing.validation_loss, 3),
                  cat("nats; ", fixed(std::abs(gain), 2), gain >= 0 ? " under" : " above",
                      " the unigram baseline of ", fixed(closing.data.unigram_nats, 3))});
  rows.push_back({"tokens/s of the mixture", fixed(tokens_per_second(closing), 0),
                  cat("of ", fixed(closing.predicted.sum_of_parts, 0), " for the devices alone")});
  rows.push_back({"mixed efficiency", percent(mixed_efficiency(closing)),
                  cat("tokens/s over the sum of the devices alone; if the busiest never waited: ",
                      percent(closing.predicted.integer_bound))});
  rows.push_back({"step time", human_seconds(measured),
                  cat("predicted ", human_seconds(predicted), " (",
                      predicted > 0 ? fixed((measured / predicted - 1) * 100, 1) : "?", " %)")});
  rows.push_back({"rounds", cat(num_rounds(closing)),
                  cat(human_bytes(static_cast<double>(wan_bytes(closing)) /
                                  static_cast<double>(std::max<int64_t>(1, num_rounds(closing)))),
                      " a round, all islands together")});
  if (closing.relayed_bytes >= 0) {
    rows.push_back({"WAN bytes", human_bytes(static_cast<double>(closing.relayed_bytes)),
                    cat("through the relays", closing.resumed ? " since the run was resumed" : "",
                        ", both directions")});
  }
  rows.push_back({"keepers' digests", digests_equal(closing) ? "equal" : "DIFFERENT",
                  "each computed by a site over its own memory"});
  text += format_table(rows);
  text +=
      "\nWAN efficiency: training time in which an island did not stand still for the outer "
      "protocol.\n";
  text += cat("checkpoints and events: ", closing.folder,
              "/<island>/; exported model: ", closing.exported, "\n");
  if (!closing.trace.empty()) {
    text += cat("trace of a step over all devices (ui.perfetto.dev): ", closing.trace, "\n");
  }
  return text;
}

}  // namespace skarv
