#include "wan-emulator/link.h"

#include "base/text.h"

namespace skarv::emulator {
namespace {

std::vector<std::string> words_of(std::string_view line) {
  std::vector<std::string> words;
  for (std::string& word : split(line, ' ')) {
    while (!word.empty() && (word.back() == '\r' || word.back() == '\t')) word.pop_back();
    if (!word.empty()) words.push_back(std::move(word));
  }
  return words;
}

}  // namespace

Link::Link(const LinkSettings& settings, Cargo cargo)
    : cargo_(cargo), shapers_{Shaper("a"), Shaper("b")} {
  for (size_t i = 0; i < 2; ++i) shapers_[i].configure(settings[i]);
}

Status Link::check(const LinkSettings& settings, Cargo cargo) {
  for (const DirectionSettings& direction : settings) {
    if (cargo == Cargo::kStreams && direction.loss > 0) {
      return config_error("a relay of TCP streams loses nothing").with_hint("skarv-wan tun does");
    }
    if (cargo == Cargo::kPackets && direction.stream_window > 0) {
      return config_error("packets have no window of a stream").with_hint("skarv-wan tun --buffer");
    }
  }
  return {};
}

double Link::stream_rate(Direction which) const {
  const double window = shapers_[static_cast<size_t>(which)].settings().stream_window;
  const double round_trip = to_seconds(shapers_[0].settings().delay + shapers_[1].settings().delay);
  return window > 0 && round_trip > 0 ? window / round_trip : 0;
}

Json Link::stats() const {
  Json stats;
  for (size_t i = 0; i < 2; ++i) {
    Json direction = to_json(shapers_[i].settings());
    direction["bytes"] = shapers_[i].num_bytes();
    if (cargo_ == Cargo::kPackets) {
      direction["packets"] = shapers_[i].num_packets();
      direction["lost"] = shapers_[i].num_lost();
      direction["dropped"] = shapers_[i].num_dropped();
    }
    direction["cut"] = shapers_[i].is_cut();
    stats[i == 0 ? "a" : "b"] = std::move(direction);
  }
  return stats;
}

std::string Link::execute(std::string_view line) {
  const std::vector<std::string> words = words_of(line);
  const auto error = [](const Status& status) {
    Json answer{{"error", status.message()}};
    if (!status.hint().empty()) answer["hint"] = status.hint();
    return answer.dump();
  };
  const std::string verb = words.empty() ? "" : words[0];
  if (verb == "set" && words.size() > 1) {
    LinkSettings settings{shapers_[0].settings(), shapers_[1].settings()};
    for (size_t i = 1; i < words.size(); ++i) {
      if (Status status = apply_setting(words[i], settings); !status.ok()) return error(status);
    }
    if (Status status = check(settings, cargo_); !status.ok()) return error(status);
    for (size_t i = 0; i < 2; ++i) shapers_[i].configure(settings[i]);
    return stats().dump();
  }
  if ((verb == "cut" && words.size() == 2) || (verb == "heal" && words.size() <= 2)) {
    const std::string which = words.size() == 2 ? words[1] : "both";
    if (which != "a" && which != "b" && which != "both") {
      return error(config_error(cat("no direction '", which, "'")).with_hint("a, b or both"));
    }
    if (which != "b") shapers_[0].set_cut(verb == "cut");
    if (which != "a") shapers_[1].set_cut(verb == "cut");
    return stats().dump();
  }
  if (verb == "stats" && words.size() == 1) return stats().dump();
  return error(config_error(cat("unknown command '", line, "'"))
                   .with_hint("set key=value ..., cut a|b|both, heal [a|b], stats"));
}

}  // namespace skarv::emulator
