#include "spec/document.h"

#include <toml++/toml.h>

#include <algorithm>
#include <cmath>

#include "base/text.h"

namespace skarv {
namespace {

const char* const kInside = "choose a value inside";

const char* kind_of(const Json& value) {
  switch (value.type()) {
    case Json::value_t::string:
      return "text";
    case Json::value_t::boolean:
      return "true or false";
    case Json::value_t::number_integer:
    case Json::value_t::number_unsigned:
      return "a whole number";
    case Json::value_t::number_float:
      return "a number";
    case Json::value_t::object:
      return "a table";
    case Json::value_t::array:
      return "a list";
    default:
      return "nothing";
  }
}

std::string member(const std::string& path, const std::string& key) {
  return path.empty() ? key : path + "." + key;
}

Json convert(const toml::node& node, const std::string& path, std::map<std::string, int>& lines) {
  lines.emplace(path, static_cast<int>(node.source().begin.line));
  if (const auto* table = node.as_table()) {
    Json object = Json::object();
    for (const auto& [key, value] : *table) {
      const std::string name(key.str());
      object[name] = convert(value, member(path, name), lines);
    }
    return object;
  }
  if (const auto* array = node.as_array()) {
    Json list = Json::array();
    for (size_t i = 0; i < array->size(); ++i) {
      list.push_back(convert((*array)[i], cat(path, "[", i, "]"), lines));
    }
    return list;
  }
  if (const auto* text = node.as_string()) return text->get();
  if (const auto* number = node.as_integer()) return number->get();
  if (const auto* number = node.as_floating_point()) return number->get();
  if (const auto* flag = node.as_boolean()) return flag->get();
  return nullptr;  // a date: no member of ours is one, so its reader names the place
}

}  // namespace

Result<Document> Document::from_toml(const std::string& text, const std::string& origin) {
  try {
    const toml::table table = toml::parse(text, origin);
    Document document;
    document.origin_ = origin;
    document.has_lines_ = true;
    document.root_ = convert(table, "", document.lines_);
    return document;
  } catch (const toml::parse_error& error) {
    return config_error(cat("not valid TOML: ", error.description()))
        .at(cat(origin, ":", error.source().begin.line))
        .with_hint("correct this line; texts stand in quotes, tables in [brackets]");
  }
}

Document Document::from_json(Json root, const std::string& origin) {
  Document document;
  document.root_ = std::move(root);
  document.origin_ = origin;
  return document;
}

std::string Document::place(const std::string& path) const {
  if (!has_lines_) return path.empty() ? origin_ : origin_ + ": " + path;
  for (std::string parent = path; !parent.empty();) {
    if (const auto line = lines_.find(parent); line != lines_.end()) {
      return cat(origin_, ":", line->second);
    }
    const size_t cut = parent.find_last_of(".[");
    parent.resize(cut == std::string::npos ? 0 : cut);
  }
  return origin_;
}

void Document::fail(const std::string& path, std::string message, std::string hint) {
  if (status_.ok()) {
    status_ = config_error(std::move(message)).at(place(path)).with_hint(std::move(hint));
  }
}

Fields::Fields(Document& document, const Json& value, std::string path)
    : document_(&document), value_(&value), path_(std::move(path)) {
  static const Json kEmpty = Json::object();
  if (!value.is_object()) {
    document.fail(
        path_,
        cat(path_.empty() ? "the file" : path_, " has to be a table, found ", kind_of(value)),
        "give it as named members");
    value_ = &kEmpty;
  }
}

std::string Fields::path_of(const std::string& key) const { return member(path_, key); }

void Fields::fail(const std::string& key, std::string message, std::string hint) {
  document_->fail(path_of(key), std::move(message), std::move(hint));
}

const Json* Fields::find(const std::string& key) {
  if (std::ranges::find(asked_, key) == asked_.end()) asked_.push_back(key);
  const auto found = value_->find(key);
  return found == value_->end() ? nullptr : &*found;
}

void Fields::require(const std::vector<std::string>& keys) {
  required_.insert(required_.end(), keys.begin(), keys.end());
}

std::optional<int64_t> Fields::read_integer(const std::string& key, int64_t least, int64_t most) {
  const Json* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_number_integer()) {
    fail(key, cat(path_of(key), " expects a whole number, found ", kind_of(*value)));
    return std::nullopt;
  }
  const bool too_large = value->is_number_unsigned() &&
                         value->get<uint64_t>() > uint64_t{std::numeric_limits<int64_t>::max()};
  if (too_large || value->get<int64_t>() < least || value->get<int64_t>() > most) {
    fail(key, cat(path_of(key), " is ", value->dump(), ", outside ", least, " to ", most), kInside);
    return std::nullopt;
  }
  return value->get<int64_t>();
}

void Fields::word(const std::string& key, uint64_t& out) {
  const Json* value = find(key);
  if (value == nullptr) return;
  if (!value->is_number_integer() || (!value->is_number_unsigned() && value->get<int64_t>() < 0)) {
    fail(key,
         cat(path_of(key), " expects a whole number that is not negative, found ", value->dump()));
    return;
  }
  out = value->get<uint64_t>();
}

void Fields::number(const std::string& key, double& out, double least, double most) {
  const Json* value = find(key);
  if (value == nullptr) return;
  if (!value->is_number()) {
    fail(key, cat(path_of(key), " expects a number, found ", kind_of(*value)));
    return;
  }
  const double number = value->get<double>();
  if (!(number >= least && number <= most)) {  // also refuses not-a-number
    fail(key, cat(path_of(key), " is ", number, ", outside ", least, " to ", most), kInside);
    return;
  }
  out = number;
}

void Fields::boolean(const std::string& key, bool& out) {
  const Json* value = find(key);
  if (value == nullptr) return;
  if (!value->is_boolean()) {
    fail(key, cat(path_of(key), " expects true or false, found ", kind_of(*value)));
    return;
  }
  out = value->get<bool>();
}

void Fields::text(const std::string& key, std::string& out) {
  const Json* value = find(key);
  if (value == nullptr) return;
  if (!value->is_string()) {
    fail(key, cat(path_of(key), " expects text, found ", kind_of(*value)));
    return;
  }
  out = value->get<std::string>();
}

void Fields::quantity(const std::string& key, double& out, Quantity kind) {
  const Json* value = find(key);
  if (value == nullptr) return;
  double number = 0;
  if (value->is_string()) {
    const Result<double> parsed = parse_quantity(value->get<std::string>(), kind);
    if (!parsed.ok()) {
      fail(key, cat(path_of(key), ": ", parsed.status().message()), parsed.status().hint());
      return;
    }
    number = *parsed;
  } else if (value->is_number()) {
    number = value->get<double>();
  } else {
    fail(key, cat(path_of(key), " expects ", example_of(kind), ", found ", kind_of(*value)));
    return;
  }
  if (!std::isfinite(number) || number < 0) {
    fail(key, cat(path_of(key), " is ", number, ": it may not be negative or without end"),
         cat("give ", example_of(kind)));
    return;
  }
  out = number;
}

void Fields::bytes(const std::string& key, int64_t& out) {
  double number = -1;
  quantity(key, number, Quantity::kBytes);
  if (number > 1e18) fail(key, cat(path_of(key), " is more than 10^18 bytes"));
  if (number >= 0 && number <= 1e18) out = static_cast<int64_t>(number);
}

void Fields::refuse_choice(const std::string& key, const Json& value,
                           const std::vector<std::string>& names) {
  const std::string name = value.is_string() ? value.get<std::string>() : value.dump();
  const std::string near = nearest_name(name, names);
  fail(key, cat(path_of(key), " is \"", name, "\", which is none of ", join(names, ", ")),
       near.empty() ? "use one of them" : cat("did you mean ", near, "?"));
}

std::optional<Fields> Fields::object(const std::string& key) {
  const Json* value = find(key);
  if (value == nullptr) return std::nullopt;
  return Fields(*document_, *value, path_of(key));
}

std::vector<Fields> Fields::objects(const std::string& key) {
  const Json* value = find(key);
  std::vector<Fields> result;
  if (value == nullptr) return result;
  if (!value->is_array()) {
    fail(key, cat(path_of(key), " expects a list of tables, found ", kind_of(*value)));
    return result;
  }
  for (size_t i = 0; i < value->size(); ++i) {
    result.emplace_back(*document_, (*value)[i], path_of(key) + "[" + std::to_string(i) + "]");
  }
  return result;
}

std::vector<std::string> Fields::texts(const std::string& key) {
  const Json* value = find(key);
  std::vector<std::string> result;
  if (value == nullptr) return result;
  if (!value->is_array()) {
    fail(key, cat(path_of(key), " expects a list of texts, found ", kind_of(*value)));
    return result;
  }
  for (size_t i = 0; i < value->size(); ++i) {
    const Json& item = (*value)[i];
    if (!item.is_string()) {
      fail(cat(key, "[", i, "]"), cat(path_of(key), " expects texts, found ", kind_of(item)));
      return result;
    }
    result.push_back(item.get<std::string>());
  }
  return result;
}

std::vector<int64_t> Fields::integers(const std::string& key, int64_t least, int64_t most) {
  const Json* value = find(key);
  std::vector<int64_t> result;
  if (value == nullptr) return result;
  if (!value->is_array()) {
    fail(key, cat(path_of(key), " expects a list of whole numbers, found ", kind_of(*value)));
    return result;
  }
  for (const Json& item : *value) {
    if (!item.is_number_integer() || item.get<int64_t>() < least || item.get<int64_t>() > most) {
      fail(key,
           cat(path_of(key), " expects whole numbers from ", least, " to ", most, ", found ",
               item.dump()),
           kInside);
      return result;
    }
    result.push_back(item.get<int64_t>());
  }
  return result;
}

std::vector<std::string> Fields::keys() const {
  std::vector<std::string> result;
  for (const auto& [key, value] : value_->items()) result.push_back(key);
  return result;
}

void Fields::finish() {
  for (const auto& [key, value] : value_->items()) {
    if (std::ranges::find(asked_, key) != asked_.end()) continue;
    std::vector<std::string> known = asked_;
    std::ranges::sort(known);
    const std::string near = nearest_name(key, known);
    fail(key, cat("unknown key ", path_of(key)),
         near.empty() ? cat("known here: ", join(known, ", ")) : cat("did you mean ", near, "?"));
    return;
  }
  for (const std::string& key : required_) {
    if (!has(key)) fail(key, cat(path_of(key), " is missing"), "add " + key);
  }
}

}  // namespace skarv
