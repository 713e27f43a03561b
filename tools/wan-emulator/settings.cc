#include "wan-emulator/settings.h"

#include <charconv>
#include <cmath>
#include <vector>

#include "base/text.h"

namespace skarv::emulator {
namespace {

struct Unit {
  std::string_view name;
  double factor;
};

const std::vector<Unit> kRates{
    {"bit", 1.0 / 8}, {"kbit", 1e3 / 8}, {"Mbit", 1e6 / 8}, {"Gbit", 1e9 / 8}};
const std::vector<Unit> kTimes{{"us", 1e-6}, {"ms", 1e-3}, {"s", 1}};
const std::vector<Unit> kSizes{{"B", 1}, {"kB", 1e3}, {"MB", 1e6}};
const std::vector<Unit> kFractions{{"%", 0.01}};
const std::vector<std::string> kKeys{"rate", "delay", "jitter", "window", "queue", "loss", "seed"};

// "100Mbit" -> bytes per second; a plain 0 needs no unit.
Result<double> parse_quantity(std::string_view text, const std::vector<Unit>& units) {
  double number = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const std::string_view suffix(stop, text.data() + text.size() - stop);
  if (error == std::errc() && std::isfinite(number) && number >= 0) {
    if (number == 0 && suffix.empty()) return 0.0;
    for (const Unit& unit : units) {
      if (unit.name == suffix && number * unit.factor < 1e12) return number * unit.factor;
    }
  }
  std::vector<std::string> names;
  for (const Unit& unit : units) names.emplace_back(unit.name);
  return config_error(cat("'", text, "' is not a number with a unit of ", join(names, ", ")));
}

Status set(DirectionSettings& settings, std::string_view key, std::string_view value) {
  if (key == "rate") {
    SKARV_ASSIGN(settings.rate, parse_quantity(value, kRates));
  } else if (key == "window") {
    SKARV_ASSIGN(settings.stream_window, parse_quantity(value, kSizes));
  } else if (key == "loss") {
    SKARV_ASSIGN(const double loss, parse_quantity(value, kFractions));
    if (loss > 1) return config_error(cat("'", value, "' is more than all"));
    settings.loss = loss;
  } else if (key == "seed") {
    uint64_t seed = 0;
    const auto [stop, error] = std::from_chars(value.data(), value.data() + value.size(), seed);
    if (error != std::errc() || stop != value.data() + value.size()) {
      return config_error(cat("'", value, "' is no whole number"));
    }
    settings.seed = seed;
  } else {
    SKARV_ASSIGN(const double seconds, parse_quantity(value, kTimes));
    if (seconds > 3600) return config_error(cat("'", value, "' is more than an hour"));
    const Duration time = from_seconds(seconds);
    if (key == "delay") settings.delay = time;
    if (key == "jitter") settings.jitter = time;
    if (key == "queue") settings.queue = std::max<Duration>(time, std::chrono::milliseconds(1));
  }
  return {};
}

}  // namespace

Status apply_setting(std::string_view assignment, LinkSettings& settings) {
  const size_t equals = assignment.find('=');
  if (equals == std::string_view::npos) {
    return config_error(cat("'", assignment, "' is not key=value"));
  }
  std::string_view key = assignment.substr(0, equals);
  bool has_a = true, has_b = true;
  if (key.starts_with("a.") || key.starts_with("b.")) {
    has_a = key.front() == 'a';
    has_b = !has_a;
    key.remove_prefix(2);
  }
  if (std::find(kKeys.begin(), kKeys.end(), key) == kKeys.end()) {
    return config_error(cat("unknown key '", key, "'"))
        .with_hint(cat("take one of ", join(kKeys, ", "),
                       ", with a. or b. before it for one "
                       "direction"));
  }
  LinkSettings changed = settings;
  const std::string_view value = assignment.substr(equals + 1);
  if (has_a) SKARV_TRY(set(changed[0], key, value));
  if (has_b) SKARV_TRY(set(changed[1], key, value));
  settings = changed;
  return {};
}

Status apply_flag(std::string flag, const std::string& value, LinkSettings& settings) {
  std::string key = flag.substr(2);
  if (key.ends_with("-a") || key.ends_with("-b")) {
    key = cat(key.back(), ".", key.substr(0, key.size() - 2));
  }
  return apply_setting(cat(key, "=", value), settings).at(flag);
}

Result<double> parse_size(std::string_view text) { return parse_quantity(text, kSizes); }

Json to_json(const DirectionSettings& settings) {
  return {{"rate_bytes_per_second", settings.rate},
          {"delay_seconds", to_seconds(settings.delay)},
          {"jitter_seconds", to_seconds(settings.jitter)},
          {"stream_window_bytes", settings.stream_window},
          {"loss", settings.loss},
          {"seed", settings.seed},
          {"queue_seconds", to_seconds(settings.queue)}};
}

}  // namespace skarv::emulator
