#include "base/json.h"

#include <algorithm>
#include <optional>
#include <set>
#include <vector>

#include "base/file.h"
#include "base/text.h"

namespace skarv {

namespace {

// Copies of a value recurse into it, so what comes from a file or a peer is bounded.
constexpr int kMostNested = 100;

// Sees a text while it is parsed: a member that stands twice would silently lose one of its values.
class Watch {
 public:
  // False: leave this value out.
  bool see(int depth, Json::parse_event_t event, const Json& parsed) {
    using Event = Json::parse_event_t;
    if (event == Event::object_start) open_.emplace_back();
    if (event == Event::object_end) open_.pop_back();
    if (event == Event::object_start || event == Event::array_start) {
      is_deep_ = is_deep_ || depth >= kMostNested;
      return depth < kMostNested;
    }
    if (event != Event::key) return true;
    const auto& name = parsed.get_ref<const std::string&>();
    if (!open_.back().insert(name).second && !twice_) twice_ = name;
    return true;
  }
  Status status() const {
    if (is_deep_) {
      return config_error(cat("values are nested more than ", kMostNested, " deep"))
          .with_hint("nothing that Skarv reads is: name another file");
    }
    if (!twice_) return Status();
    return config_error(cat("\"", *twice_, "\" stands twice in one object"))
        .with_hint("keep one of the two");
  }

 private:
  std::vector<std::set<std::string>> open_;  // names in each object around the place
  std::optional<std::string> twice_;
  bool is_deep_ = false;
};

}  // namespace

Result<Json> parse_json(std::string_view text, const std::string& origin) {
  Watch watch;
  try {
    Json json = Json::parse(text, [&](int depth, Json::parse_event_t event, Json& parsed) {
      return watch.see(depth, event, parsed);
    });
    if (!watch.status().ok()) return watch.status().at(origin);
    return json;
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
