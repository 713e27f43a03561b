// Small helpers for text that people read: joining values, human figures, nearest names.
#pragma once

#include <cstdint>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace skarv {

// cat("stage ", 3, " of ", name): streams every argument into one string.
template <typename... Args>
std::string cat(const Args&... args) {
  std::ostringstream out;
  (out << ... << args);
  return out.str();
}

std::string join(const std::vector<std::string>& parts, std::string_view separator);
std::vector<std::string> split(std::string_view text, char separator);

// fixed(3.14159, 2) = "3.14".
std::string fixed(double value, int digits);
std::string human_bytes(double num_bytes);  // "1.5 MB" (powers of 1000)
std::string human_seconds(double seconds);  // "12.3 ms", "1 h 05 min"
std::string human_count(double count);      // "3.1 M"

// The candidate with the smallest edit distance to `name`, empty when none is close (more than a
// third of the letters differ).
std::string nearest_name(std::string_view name, const std::vector<std::string>& candidates);

// Columns padded to their widest cell (counted in code points), two spaces between; the first row
// is the header and gets a rule under it. Cells that look like numbers are right-aligned.
std::string format_table(const std::vector<std::vector<std::string>>& rows);

}  // namespace skarv
