// The accuracy sets: runs that others measured, priced by Skarv. bench/validation/README.md has the
// sources, docs/accuracy.md what is assumed of each framework.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "plan/cost/constants.h"

namespace skarv::accuracy {

struct Row {
  std::string label;
  double measured_s = 0, predicted_s = 0;
  bool judged = true;  // false: for calibration, or measured with a doubt

  double error() const { return predicted_s / measured_s - 1; }
};

struct Set {
  std::string name;
  std::vector<Row> rows;
};

// Each reads its files from `folder`. Error: a file that lacks or breaks something, a row that
// cannot be priced (with its line).
Result<Set> mixed_rtx(const std::filesystem::path& folder);
Result<Set> a100_multi_node(const std::filesystem::path& folder, const Constants& constants);
Result<Set> a100_single_node(const std::filesystem::path& folder, const Constants& constants);
Result<Set> v100_t4(const std::filesystem::path& folder, const Constants& constants);

struct Figures {
  int count = 0;
  double mean = 0, median = 0, worst = 0;  // of the absolute relative errors
  double rank = 0;                         // Spearman's correlation, ties share their mean rank
};
// Of the judged rows.
Figures figures_of(const Set& set);

}  // namespace skarv::accuracy
