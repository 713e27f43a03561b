#include "spec/problem.h"

namespace skarv {

Status to_status(const MaybeProblem& problem, const std::string& origin) {
  if (!problem) return {};
  std::string place = origin;
  if (!problem->path.empty()) place += (origin.empty() ? "" : ": ") + problem->path;
  return config_error(problem->message).at(place).with_hint(problem->hint);
}

}  // namespace skarv
