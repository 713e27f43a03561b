#include <algorithm>
#include <cmath>
#include <numeric>

#include "accuracy/sets.h"

namespace skarv::accuracy {
namespace {

std::vector<double> ranks_of(const std::vector<double>& values) {
  std::vector<size_t> order(values.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::sort(order, {}, [&](size_t i) { return values[i]; });
  std::vector<double> rank(values.size());
  for (size_t i = 0; i < order.size();) {
    size_t end = i;
    while (end < order.size() && values[order[end]] == values[order[i]]) ++end;
    for (size_t k = i; k < end; ++k) rank[order[k]] = static_cast<double>(i + end - 1) / 2;
    i = end;
  }
  return rank;
}

double correlation(const std::vector<double>& x, const std::vector<double>& y) {
  const auto n = static_cast<double>(x.size());
  const double mean_x = std::accumulate(x.begin(), x.end(), 0.0) / n;
  const double mean_y = std::accumulate(y.begin(), y.end(), 0.0) / n;
  double xy = 0, xx = 0, yy = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    xy += (x[i] - mean_x) * (y[i] - mean_y);
    xx += (x[i] - mean_x) * (x[i] - mean_x);
    yy += (y[i] - mean_y) * (y[i] - mean_y);
  }
  return xx > 0 && yy > 0 ? xy / std::sqrt(xx * yy) : 0;
}

}  // namespace

Figures figures_of(const Set& set) {
  std::vector<double> errors, measured, predicted;
  for (const Row& row : set.rows) {
    if (!row.judged) continue;
    errors.push_back(std::abs(row.error()));
    measured.push_back(row.measured_s);
    predicted.push_back(row.predicted_s);
  }
  Figures figures;
  figures.count = static_cast<int>(errors.size());
  if (errors.empty()) return figures;
  figures.rank = correlation(ranks_of(measured), ranks_of(predicted));
  std::ranges::sort(errors);
  const size_t half = errors.size() / 2;
  figures.mean = std::accumulate(errors.begin(), errors.end(), 0.0) / figures.count;
  figures.median = errors.size() % 2 == 1 ? errors[half] : (errors[half - 1] + errors[half]) / 2;
  figures.worst = errors.back();
  return figures;
}

}  // namespace skarv::accuracy
