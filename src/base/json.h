// JSON by nlohmann, with errors as Status.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string_view>

#include "base/status.h"

namespace skarv {

using Json = nlohmann::ordered_json;

// Error: kInvalidArgument with `origin` and the line and column of the fault; also for a member
// that stands twice in one object, by its name, and for what is nested more than 100 deep.
Result<Json> parse_json(std::string_view text, const std::string& origin);
Result<Json> read_json(const std::filesystem::path& path);

}  // namespace skarv
