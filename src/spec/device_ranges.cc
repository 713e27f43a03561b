#include "spec/device_ranges.h"

#include <cstdint>
#include <optional>

#include "base/text.h"

namespace skarv {
namespace {

constexpr int64_t kMaxDevices = 1 << 20;
constexpr int64_t kLeastRange = 3;

bool is_digit(char letter) { return letter >= '0' && letter <= '9'; }

// "head" + number + "tail".
struct Numbered {
  std::string head, tail;
  int64_t number = 0;
};

// The digits before position `end`; none, too many, or with a zero in front: nullopt.
std::optional<Numbered> split_number(const std::string& text, size_t end) {
  size_t begin = end;
  while (begin > 0 && is_digit(text[begin - 1])) --begin;
  if (begin == end || end - begin > 7 || (text[begin] == '0' && end - begin > 1)) {
    return std::nullopt;
  }
  return Numbered{text.substr(0, begin), text.substr(end),
                  std::stoll(text.substr(begin, end - begin))};
}

// Joins runs of names that count up at the place where `end_of` says the number ends.
template <typename EndOf>
std::vector<std::string> join_runs(const std::vector<std::string>& names, EndOf end_of) {
  std::vector<std::string> result;
  for (size_t i = 0; i < names.size();) {
    const std::optional<Numbered> first = split_number(names[i], end_of(names[i]));
    size_t next = i + 1;
    for (; first && next < names.size(); ++next) {
      const std::optional<Numbered> other = split_number(names[next], end_of(names[next]));
      if (!other || other->head != first->head || other->tail != first->tail ||
          other->number != first->number + static_cast<int64_t>(next - i)) {
        break;
      }
    }
    const auto length = static_cast<int64_t>(next - i);
    if (length >= kLeastRange) {
      result.push_back(
          cat(first->head, "[", first->number, "-", first->number + length - 1, "]", first->tail));
    } else {
      result.insert(result.end(), names.begin() + static_cast<std::ptrdiff_t>(i),
                    names.begin() + static_cast<std::ptrdiff_t>(next));
    }
    i = next;
  }
  return result;
}

}  // namespace

bool expand_ranges(const std::string& pattern, std::vector<std::string>& out) {
  const size_t open = pattern.find('[');
  if (open == std::string::npos) {
    out.push_back(pattern);
    return static_cast<int64_t>(out.size()) <= kMaxDevices;
  }
  const size_t dash = pattern.find('-', open), close = pattern.find(']', open);
  if (dash == std::string::npos || close == std::string::npos || dash > close) return false;
  const auto number = [&](size_t begin, size_t end) -> int64_t {
    if (end <= begin || end - begin > 7) return -1;
    int64_t value = 0;
    for (size_t i = begin; i < end; ++i) {
      if (!is_digit(pattern[i])) return -1;
      value = value * 10 + (pattern[i] - '0');
    }
    return value;
  };
  const int64_t first = number(open + 1, dash), last = number(dash + 1, close);
  if (first < 0 || last < first || last - first >= kMaxDevices) return false;
  for (int64_t i = first; i <= last; ++i) {
    if (!expand_ranges(cat(pattern.substr(0, open), i, pattern.substr(close + 1)), out)) {
      return false;
    }
  }
  return true;
}

std::vector<std::string> compress_names(const std::vector<std::string>& names) {
  const std::vector<std::string> by_index =
      join_runs(names, [](const std::string& name) { return name.size(); });
  // Hosts that count up, with the same devices of each.
  return join_runs(by_index, [](const std::string& name) {
    const size_t slash = name.rfind('/');
    return slash == std::string::npos ? 0 : slash;
  });
}

}  // namespace skarv
