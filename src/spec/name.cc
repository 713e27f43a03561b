#include "spec/name.h"

#include <algorithm>
#include <cctype>

#include "base/text.h"

namespace skarv {
namespace {

constexpr size_t kLongestName = 63, kLongestRunName = 64;
constexpr size_t kShownLetters = 40;
// In the folder of a run, and among its certificates.
constexpr std::string_view kTaken[] = {"ca", "certs", "coordinator", "export", "wan"};

bool is_plain(char letter) {
  return std::isalnum(static_cast<unsigned char>(letter)) || letter == '-' || letter == '_' ||
         letter == '.';
}

// What may be in it is not for a terminal.
std::string shown(std::string_view name) {
  std::string text(name.substr(0, kShownLetters));
  std::ranges::replace_if(
      text, [](unsigned char c) { return std::iscntrl(c) != 0; }, '?');
  return cat("\"", text, name.size() > kShownLetters ? "..." : "", "\"");
}

MaybeProblem problem_of_owner(std::string path, const char* what, std::string_view name) {
  if (std::ranges::find(kTaken, name) == std::end(kTaken)) return std::nullopt;
  return Problem{std::move(path), cat("\"", name, "\" is a part of every run: no name of ", what),
                 "choose another name"};
}

}  // namespace

MaybeProblem problem_of_name(std::string path, const char* what, std::string_view name) {
  const bool is_fine = !name.empty() && name.size() <= kLongestName &&
                       std::ranges::all_of(name, is_plain) && name[0] != '-' && name[0] != '.';
  if (is_fine) return std::nullopt;
  return Problem{std::move(path), cat(shown(name), " is no name of ", what),
                 cat("use up to ", kLongestName,
                     " letters, digits, dashes, dots and underscores, a letter first")};
}

MaybeProblem problem_of_run_name(std::string path, std::string_view name) {
  const bool is_fine =
      !name.empty() && name.size() <= kLongestRunName &&
      std::ranges::all_of(name, [](char letter) { return is_plain(letter) || letter == '/'; });
  if (is_fine) return std::nullopt;
  return Problem{std::move(path), shown(name) + " is no name of a run",
                 cat("use up to ", kLongestRunName,
                     " letters, digits, dashes, dots, underscores and slashes")};
}

MaybeProblem problem_of_site_name(std::string path, std::string_view name) {
  if (MaybeProblem problem = problem_of_name(path, "a site", name)) return problem;
  return problem_of_owner(std::move(path), "a site", name);
}

MaybeProblem problem_of_island_name(std::string path, std::string_view name) {
  for (const std::string& part : split(std::string(name), '+')) {
    if (MaybeProblem problem = problem_of_name(path, "an island", part)) {
      problem->message = shown(name) + " is no name of an island";
      return problem;
    }
  }
  return problem_of_owner(std::move(path), "an island", name);
}

}  // namespace skarv
