// Names of many devices in few words: "north/a[0-15]/[0-7]".
#pragma once

#include <string>
#include <vector>

namespace skarv {

// Appends what the pattern stands for: every range counts up, the last one fastest. False on a
// range that is not one, or that would be more devices than any plan has.
bool expand_ranges(const std::string& pattern, std::vector<std::string>& out);

// Patterns that expand to these names in this order. Up to two names in a row stay as they are.
std::vector<std::string> compress_names(const std::vector<std::string>& names);

}  // namespace skarv
