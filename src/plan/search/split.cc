#include "plan/search/split.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <queue>

namespace skarv {

std::vector<int64_t> split_pieces(int64_t total, const std::vector<double>& seconds) {
  double speed = 0;
  for (double time : seconds) speed += 1 / time;
  // Some best split gives everybody at least the whole part of the ideal share, so these are given
  // out at once; the rest goes one by one to who would finish first.
  std::vector<int64_t> pieces;
  int64_t left = total;
  using Next = std::pair<double, int>;  // end after one more piece, worker
  std::priority_queue<Next, std::vector<Next>, std::greater<>> queue;
  for (size_t i = 0; i < seconds.size(); ++i) {
    const double ideal = static_cast<double>(total) / (seconds[i] * speed);
    pieces.push_back(static_cast<int64_t>(std::floor(ideal * (1 - 1e-12))));
    left -= pieces[i];
    queue.emplace(static_cast<double>(pieces[i] + 1) * seconds[i], static_cast<int>(i));
  }
  for (; left > 0; --left) {
    const int worker = queue.top().second;
    queue.pop();
    ++pieces[worker];
    queue.emplace(static_cast<double>(pieces[worker] + 1) * seconds[worker], worker);
  }
  return pieces;
}

std::vector<int> cut_layers(const std::vector<std::vector<double>>& seconds) {
  const int num_workers = static_cast<int>(seconds.size());
  const int num_layers = static_cast<int>(seconds[0].size());
  constexpr double kInfinite = std::numeric_limits<double>::infinity();
  // best[w][l]: smallest bottleneck of workers w.. for layers l..
  std::vector<std::vector<double>> best(num_workers + 1,
                                        std::vector<double>(num_layers + 1, kInfinite));
  std::vector<std::vector<int>> next(num_workers, std::vector<int>(num_layers + 1, num_layers));
  best[num_workers][num_layers] = 0;
  for (int w = num_workers - 1; w >= 0; --w) {
    for (int l = num_layers - 1; l >= 0; --l) {
      double mine = 0;
      for (int end = l + 1; end <= num_layers; ++end) {
        mine += seconds[w][end - 1];
        const double bottleneck = std::max(mine, best[w + 1][end]);
        if (bottleneck < best[w][l]) {
          best[w][l] = bottleneck;
          next[w][l] = end;
        }
      }
    }
  }
  std::vector<int> cuts = {0};
  for (int w = 0; w < num_workers; ++w) cuts.push_back(next[w][cuts.back()]);
  return cuts;
}

}  // namespace skarv
