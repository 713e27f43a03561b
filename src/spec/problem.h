// What a check of a whole struct finds: a member by its path, so that whoever read the struct from
// a file can add file and line. Checks return the first problem or nothing.
#pragma once

#include <optional>
#include <string>

#include "base/status.h"

namespace skarv {

struct Problem {
  std::string path;  // "exchange.overlap_steps"; empty: the whole
  std::string message;
  std::string hint;
};
using MaybeProblem = std::optional<Problem>;

// "origin: path" is the place.
Status to_status(const MaybeProblem& problem, const std::string& origin);

struct Model;
struct Run;
struct Cluster;
MaybeProblem problem_of(const Model& model);
MaybeProblem problem_of(const Run& run);
MaybeProblem problem_of(const Cluster& cluster);

}  // namespace skarv
