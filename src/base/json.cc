#include "base/json.h"

#include <algorithm>

#include "base/file.h"
#include "base/text.h"

namespace skarv {

Result<Json> parse_json(std::string_view text, const std::string& origin) {
  try {
    return Json::parse(text);
  } catch (const nlohmann::json::parse_error& error) {
    const auto end = text.begin() + std::min(error.byte > 0 ? error.byte - 1 : 0, text.size());
    const auto line = 1 + std::count(text.begin(), end, '\n');
    std::string cause = error.what();
    if (const size_t colon = cause.find("syntax error"); colon != std::string::npos) {
      cause = cause.substr(colon);
    }
    return config_error("not valid JSON: " + cause)
        .at(cat(origin, ":", line))
        .with_hint("correct this line; a file that was cut off has to be made again");
  } catch (const nlohmann::json::exception& error) {  // a number too large for a double
    return config_error(cat("not valid JSON: ", error.what())).at(origin);
  }
}

Result<Json> read_json(const std::filesystem::path& path) {
  SKARV_ASSIGN(std::string text, read_file(path));
  return parse_json(text, path.string());
}

}  // namespace skarv
