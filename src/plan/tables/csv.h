// Tables of comma-separated values with a header line: measured figures that others publish.
//
// The dialect: one record a line, fields without line breaks, optionally in double quotes (doubled
// inside); lines that are empty or begin with '#' are skipped; '\r' before the line's end is too.
// Every error names the file and the line, and the column where there is one.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace skarv {

// One record; it borrows from its table.
class CsvRow;

class CsvTable {
 public:
  // Error: no header, a column named twice or not at all, a row with more or fewer fields than the
  // header, a quote that never ends.
  static Result<CsvTable> parse(std::string_view text, const std::string& origin);
  static Result<CsvTable> read(const std::filesystem::path& path);

  // Error: kNotFound with the nearest column there is.
  Result<int> column(std::string_view name) const;
  bool has_column(std::string_view name) const;
  int num_rows() const { return static_cast<int>(rows_.size()); }
  CsvRow row(int index) const;
  const std::string& origin() const { return origin_; }

 private:
  friend class CsvRow;
  struct Row {
    int line;
    std::vector<std::string> fields;
  };
  std::string origin_;
  std::vector<std::string> header_;
  std::vector<Row> rows_;
};

class CsvRow {
 public:
  CsvRow(const CsvTable& table, int index) : table_(&table), row_(&table.rows_[index]) {}

  // `column` as CsvTable::column gave it.
  const std::string& text(int column) const { return row_->fields[column]; }
  // Error: not a number, not finite, outside [least, most].
  Result<double> number(int column, double least = 0, double most = 1e30) const;
  // Error: also when it is not whole.
  Result<int64_t> integer(int column, int64_t least = 0, int64_t most = int64_t{1} << 53) const;
  // What is wrong with this row, at its file and line.
  Status error(const std::string& what, int column = -1) const;
  int line() const { return row_->line; }

 private:
  const CsvTable* table_;
  const CsvTable::Row* row_;
};

}  // namespace skarv
