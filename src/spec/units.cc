#include "spec/units.h"

#include <charconv>
#include <cmath>
#include <span>
#include <string>

#include "base/text.h"

namespace skarv {
namespace {

struct Unit {
  const char* name;
  double factor;
};

constexpr Unit kSizes[] = {
    {"B", 1},           {"kB", 1e3},           {"MB", 1e6},
    {"GB", 1e9},        {"TB", 1e12},          {"KiB", 1024.0},
    {"MiB", 1048576.0}, {"GiB", 1073741824.0}, {"TiB", 1.0995116277760e12},
};
constexpr Unit kRates[] = {
    {"bit/s", 0.125},  {"kbit/s", 125}, {"Mbit/s", 125e3},    {"Gbit/s", 125e6},
    {"Tbit/s", 125e9}, {"B/s", 1},      {"kB/s", 1e3},        {"MB/s", 1e6},
    {"GB/s", 1e9},     {"TB/s", 1e12},  {"MiB/s", 1048576.0}, {"GiB/s", 1073741824.0},
};
constexpr Unit kTimes[] = {{"ns", 1e-9}, {"us", 1e-6}, {"ms", 1e-3}, {"s", 1},
                           {"min", 60},  {"h", 3600},  {"d", 86400}};
constexpr Unit kFractions[] = {{"%", 0.01}};

std::span<const Unit> units_of(Quantity quantity) {
  switch (quantity) {
    case Quantity::kBytes:
      return kSizes;
    case Quantity::kBytesPerSecond:
      return kRates;
    case Quantity::kSeconds:
      return kTimes;
    case Quantity::kFraction:
      return kFractions;
  }
  return {};
}

}  // namespace

const char* example_of(Quantity quantity) {
  switch (quantity) {
    case Quantity::kBytes:
      return "a size such as \"8 GB\"";
    case Quantity::kBytesPerSecond:
      return "a rate such as \"100 Mbit/s\"";
    case Quantity::kSeconds:
      return "a time such as \"20 ms\"";
    case Quantity::kFraction:
      return "a fraction such as 0.001 or \"0.1 %\"";
  }
  return "";
}

Result<double> parse_quantity(std::string_view text, Quantity quantity) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  std::string_view unit = text.substr(end - text.data());
  unit.remove_prefix(std::min(unit.find_first_not_of(' '), unit.size()));
  if (error != std::errc() || !std::isfinite(value)) {
    return config_error(cat("expects ", example_of(quantity), ", found \"", text, "\""));
  }
  std::vector<std::string> names;
  for (const Unit& known : units_of(quantity)) {
    if (unit == known.name) return value * known.factor;
    names.emplace_back(known.name);
  }
  const std::string problem =
      unit.empty() ? "has no unit" : cat("has the unknown unit \"", unit, "\"");
  return config_error(cat("\"", text, "\" ", problem)).with_hint("use one of " + join(names, ", "));
}

}  // namespace skarv
