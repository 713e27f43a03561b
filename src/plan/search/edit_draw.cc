#include "plan/search/edit_draw.h"

#include <algorithm>

namespace skarv {
namespace {

constexpr size_t kMostEdits = 3;

// The pipeline, or all that are cut like it as well.
template <typename Change>
bool change(bool in_all, size_t index, Island& island, Change change) {
  const Pipeline model = island.pipelines[index];
  for (size_t p = 0; p < island.pipelines.size(); ++p) {
    if (p != index && !(in_all && has_same_cut(island.pipelines[p], model))) continue;
    if (!change(island.pipelines[p])) return false;
  }
  return true;
}

}  // namespace

std::map<size_t, Island> EditDraw::next(const std::vector<Island>& islands, size_t first) {
  std::map<size_t, Island> changed;
  const auto island_at = [&](size_t index) -> Island& {
    const auto known = changed.find(index);
    return known != changed.end() ? known->second
                                  : changed.emplace(index, islands[index]).first->second;
  };
  for (size_t left = 1 + below(kMostEdits); left > 0; --left) {
    // Later ones to any island now and then.
    const size_t index = changed.empty() || below(3) > 0 ? first : below(islands.size());
    Island& island = island_at(index);
    bool makes_sense = false;
    if (below(4) == 0) {
      Island& other = island_at(below(3) > 0 ? index : below(islands.size()));
      Pipeline& giver = island.pipelines[below(island.pipelines.size())];
      Pipeline& taker = other.pipelines[below(other.pipelines.size())];
      const auto moved = static_cast<int64_t>(1 + below(3));
      makes_sense = &giver != &taker && (below(2) == 0 ? move_samples(moved, giver, taker)
                                                       : move_samples(moved, taker, giver));
    } else {
      makes_sense = edit(island);
    }
    if (!makes_sense) return {};
  }
  return changed;
}

bool EditDraw::edit(Island& island) {
  const size_t index = below(island.pipelines.size());
  switch (below(10)) {
    case 0:
    case 1:
    case 2:
      return edit_border(index, island);
    case 3:
    case 4: {
      const size_t stage = below(island.pipelines[index].stages.size());
      return change(below(3) == 0, index, island, [&](Pipeline& pipeline) {
        toggle_recompute(pipeline.stages[stage]);
        return true;
      });
    }
    case 5:
    case 6:
    case 7:
      return edit_devices(index, island);
    case 8:
      return below(3) == 0 ? edit_microbatch(index, island) : edit_schedule(index, island);
    default:
      return leave_out(index, below(island.pipelines.size()), island);
  }
}

bool EditDraw::edit_border(size_t index, Island& island) {
  const size_t num_stages = island.pipelines[index].stages.size();
  if (num_stages < 2) return false;
  const size_t from = below(num_stages);
  const bool is_up = below(2) == 0;
  if (is_up ? from + 1 == num_stages : from == 0) return false;
  // Mostly to the next one.
  const size_t most = is_up ? num_stages - 1 - from : from;
  const size_t distance = below(4) > 0 ? 1 : 1 + below(most);
  const size_t to = is_up ? from + distance : from - distance;
  return change(below(2) == 0, index, island,
                [&](Pipeline& pipeline) { return move_layer(from, to, pipeline); });
}

bool EditDraw::edit_devices(size_t index, Island& island) {
  const size_t other = below(2) == 0 ? index : below(island.pipelines.size());
  Pipeline &one = island.pipelines[index], &two = island.pipelines[other];
  const size_t s = below(one.stages.size()), t = below(two.stages.size());
  if (index != other || below(2) == 0) return exchange_devices(devices_, one, s, two, t);
  return change(true, index, island, [&](Pipeline& pipeline) {
    return exchange_devices(devices_, pipeline, s, pipeline, t);
  });
}

bool EditDraw::edit_microbatch(size_t index, Island& island) {
  const int size = 1 << below(4);
  const bool in_all = below(2) == 0;
  bool is_changed = false;
  for (size_t p = 0; p < island.pipelines.size(); ++p) {
    if (!in_all && p != index) continue;
    Pipeline& pipeline = island.pipelines[p];
    if (size > pipeline.samples) return false;
    is_changed |= pipeline.microbatch != size;
    pipeline.microbatch = size;
  }
  return is_changed;
}

bool EditDraw::edit_schedule(size_t index, Island& island) {
  const bool in_all = below(3) > 0;
  for (size_t p = 0; p < island.pipelines.size(); ++p) {
    if (!in_all && p != index) continue;
    Pipeline& pipeline = island.pipelines[p];
    const char* const name = pipeline.schedule == "1f1b" ? "zero-bubble" : "1f1b";
    if (pipeline.stages.size() < 2 || !limits_.allows(name)) return false;
    pipeline.schedule = name;
  }
  return true;
}

}  // namespace skarv
