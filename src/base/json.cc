#include "base/json.h"

#include <algorithm>
#include <optional>
#include <set>
#include <vector>

#include "base/file.h"
#include "base/text.h"

namespace skarv {

namespace {

// Sees a text while it is parsed: a member that stands twice would silently lose one of its values.
class Members {
 public:
  bool see(Json::parse_event_t event, const Json& parsed) {
    using Event = Json::parse_event_t;
    if (event == Event::object_start) open_.emplace_back();
    if (event == Event::object_end) open_.pop_back();
    if (event != Event::key) return true;
    const auto& name = parsed.get_ref<const std::string&>();
    if (!open_.back().insert(name).second && !twice_) twice_ = name;
    return true;
  }
  const std::optional<std::string>& twice() const { return twice_; }

 private:
  std::vector<std::set<std::string>> open_;  // names in each object around the place
  std::optional<std::string> twice_;
};

}  // namespace

Result<Json> parse_json(std::string_view text, const std::string& origin) {
  Members members;
  try {
    Json json = Json::parse(text, [&](int, Json::parse_event_t event, Json& parsed) {
      return members.see(event, parsed);
    });
    if (!members.twice()) return json;
    return config_error(cat("\"", *members.twice(), "\" stands twice in one object"))
        .at(origin)
        .with_hint("keep one of the two");
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
