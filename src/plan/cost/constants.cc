#include "plan/cost/constants.h"

#include <cmath>

#include "base/text.h"

namespace skarv {

// Made from constants.json by CMake.
extern const char* const kConstantsJson;

namespace {

struct Name {
  const char* name;
  double HardwareConstants::*member;
  double least, most;
};

constexpr Name kNames[] = {
    {"matmul_fraction", &HardwareConstants::matmul_fraction, 0.01, 1},
    {"misaligned_fraction", &HardwareConstants::misaligned_fraction, 0.01, 1},
    {"memory_fraction", &HardwareConstants::memory_fraction, 0.01, 1},
    {"kernel_us", &HardwareConstants::kernel_us, 0, 1e6},
    {"launch_us", &HardwareConstants::launch_us, 0, 1e6},
    {"collective_us", &HardwareConstants::collective_us, 0, 1e6},
    {"link_fraction", &HardwareConstants::link_fraction, 0.01, 1},
    {"network_fraction", &HardwareConstants::network_fraction, 0.01, 1},
    {"step_ms", &HardwareConstants::step_ms, 0, 1e6},
    {"hop_us", &HardwareConstants::hop_us, 0, 1e6},
    {"start_us", &HardwareConstants::start_us, 0, 1e6},
    {"fp32_fraction", &HardwareConstants::fp32_fraction, 0.01, 1},
    {"autograd_fraction", &HardwareConstants::autograd_fraction, 0, 1},
};

Status set(HardwareConstants& constants, const std::string& key, const Json& value,
           const std::string& where) {
  std::vector<std::string> known;
  for (const Name& name : kNames) {
    if (key != name.name) {
      known.emplace_back(name.name);
      continue;
    }
    const double number = value.is_number() ? value.get<double>() : std::nan("");
    if (!(number >= name.least && number <= name.most)) {
      return config_error(cat(key, " is ", value.dump(), ", not a number between ", name.least,
                              " and ", name.most))
          .at(where);
    }
    constants.*name.member = number;
    return {};
  }
  const std::string near = nearest_name(key, known);
  return config_error(cat("no constant is named ", key))
      .at(where)
      .with_hint(near.empty() ? cat("known: ", join(known, ", ")) : cat("is it ", near, "?"));
}

}  // namespace

Result<Constants> Constants::from_json(const Json& json, const std::string& origin) {
  if (!json.is_object()) return config_error("constants are an object by hardware").at(origin);
  Constants result;
  for (const auto& [hardware, values] : json.items()) {
    const std::string where = cat(origin, ": ", hardware);
    if (!values.is_object()) return config_error("not an object of constants").at(where);
    HardwareConstants constants;
    if (const auto like = values.find("like"); like != values.end()) {
      if (!like->is_string()) return config_error("\"like\" is not a name").at(where);
      const Result<HardwareConstants> other = result.of(like->get<std::string>());
      if (!other.ok()) return other.status().at(where);
      constants = *other;
    }
    for (const auto& [key, value] : values.items()) {
      if (key != "like") SKARV_TRY(set(constants, key, value, where));
    }
    result.hardware_[hardware] = constants;
  }
  return result;
}

const Constants& Constants::built_in() {
  static const Constants constants = [] {
    const Result<Json> json = parse_json(kConstantsJson, "constants.json");
    const Result<Constants> parsed =
        json.ok() ? from_json(*json, "constants.json") : Result<Constants>(json.status());
    return parsed.ok() ? *parsed : Constants();  // a test reads the file as it was built in
  }();
  return constants;
}

Result<HardwareConstants> Constants::of(const std::string& hardware) const {
  const auto found = hardware_.find(hardware);
  if (found != hardware_.end()) return found->second;
  std::vector<std::string> known;
  for (const auto& [name, constants] : hardware_) known.push_back(name);
  const std::string near = nearest_name(hardware, known);
  return Status(Code::kNotFound, Scope::kConfig, cat("no constants of ", hardware))
      .with_hint(near.empty() ? cat("known: ", join(known, ", ")) : cat("is it ", near, "?"));
}

}  // namespace skarv
