#include "plan/tables/csv.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "base/file.h"
#include "base/text.h"

namespace skarv {
namespace {

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";  // of spreadsheets
constexpr size_t kMaxFields = 1000;  // a row wider than that is another kind of file

std::string place(const std::string& origin, int line) { return cat(origin, ":", line); }

Result<std::vector<std::string>> fields_of(std::string_view line, const std::string& where) {
  std::vector<std::string> fields(1);
  bool quoted = false;
  for (size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (quoted) {
      if (c != '"') {
        fields.back() += c;
      } else if (i + 1 < line.size() && line[i + 1] == '"') {
        fields.back() += line[++i];
      } else {
        quoted = false;
      }
    } else if (c == '"' && fields.back().empty()) {
      quoted = true;
    } else if (c == ',') {
      if (fields.size() == kMaxFields) return config_error("more than 1000 fields").at(where);
      fields.emplace_back();
    } else {
      fields.back() += c;
    }
  }
  if (quoted) {
    return config_error("a quote that never ends").at(where).with_hint("close it on its line");
  }
  return fields;
}

Status check_header(const std::vector<std::string>& header, const std::string& where) {
  for (size_t i = 0; i < header.size(); ++i) {
    if (header[i].empty()) return config_error(cat("column ", i + 1, " has no name")).at(where);
    if (std::find(header.begin(), header.begin() + i, header[i]) != header.begin() + i) {
      return config_error(cat("two columns are named ", header[i])).at(where);
    }
  }
  return {};
}

}  // namespace

Result<CsvTable> CsvTable::parse(std::string_view text, const std::string& origin) {
  CsvTable table;
  table.origin_ = origin;
  if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
  int number = 0;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    ++number;
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty() || line.front() == '#') continue;
    const std::string where = place(origin, number);
    SKARV_ASSIGN(std::vector<std::string> fields, fields_of(line, where));
    if (table.header_.empty()) {
      SKARV_TRY(check_header(fields, where));
      table.header_ = std::move(fields);
    } else if (fields.size() != table.header_.size()) {
      return config_error(cat(fields.size(), " fields where the header has ", table.header_.size()))
          .at(where)
          .with_hint("one field for each column, empty where nothing is known");
    } else {
      table.rows_.push_back({number, std::move(fields)});
    }
  }
  if (table.header_.empty()) {
    return config_error("no header line")
        .at(origin)
        .with_hint("the first line names the columns, separated by commas");
  }
  return table;
}

Result<CsvTable> CsvTable::read(const std::filesystem::path& path) {
  SKARV_ASSIGN(const std::string text, read_file(path));
  return parse(text, path.string());
}

bool CsvTable::has_column(std::string_view name) const {
  return std::ranges::find(header_, name) != header_.end();
}

Result<int> CsvTable::column(std::string_view name) const {
  const auto found = std::ranges::find(header_, name);
  if (found != header_.end()) return static_cast<int>(found - header_.begin());
  const std::string near = nearest_name(name, header_);
  return Status(Code::kNotFound, Scope::kConfig, cat("no column ", name))
      .at(origin_)
      .with_hint(near.empty() ? cat("it has ", join(header_, ", ")) : cat("is it ", near, "?"));
}

CsvRow CsvTable::row(int index) const { return CsvRow(*this, index); }

Status CsvRow::error(const std::string& what, int column) const {
  const std::string where = place(table_->origin_, row_->line);
  return config_error(column < 0 ? what : cat(table_->header_[column], ": ", what)).at(where);
}

Result<double> CsvRow::number(int column, double least, double most) const {
  const std::string& field = row_->fields[column];
  char* end = nullptr;
  const double value = std::strtod(field.c_str(), &end);
  if (field.empty() || *end != '\0' || !std::isfinite(value)) {
    return error(cat("\"", field, "\" is not a number"), column);
  }
  if (value < least || value > most) {
    return error(cat(field, " is not between ", least, " and ", most), column);
  }
  return value;
}

Result<int64_t> CsvRow::integer(int column, int64_t least, int64_t most) const {
  SKARV_ASSIGN(const double value,
               number(column, static_cast<double>(least), static_cast<double>(most)));
  if (value != std::floor(value)) return error(cat(value, " is not a whole number"), column);
  return static_cast<int64_t>(value);
}

}  // namespace skarv
