#include <map>

#include "plan/search/changes.h"
#include "plan/search/edits.h"

namespace skarv {
namespace {

bool could_exchange(const Trials& trials, size_t island, size_t p, size_t s, size_t q, size_t t) {
  const std::vector<Pipeline>& pipelines = trials.pipelines(island);
  return can_exchange(trials.devices(), pipelines[p].stages[s], pipelines[q].stages[t]);
}

}  // namespace

bool deal_devices_anew(Trials& trials, size_t island) {
  const std::vector<Pipeline>& pipelines = trials.pipelines(island);
  std::map<std::vector<std::pair<std::string, size_t>>, std::vector<size_t>> rows;
  for (size_t p = 0; p < pipelines.size(); ++p) {
    std::vector<std::pair<std::string, size_t>> row;
    for (const Stage& stage : pipelines[p].stages) {
      row.emplace_back(trials.chip_of(stage), stage.devices.size());
    }
    rows[row].push_back(p);
  }
  bool is_better = false;
  for (const auto& [row, alike] : rows) {
    if (alike.size() < 2) continue;
    for (bool by_stage : {true, false}) {
      is_better |= trials.attempt(island, island, [&](Island& trial, Island&) {
        return deal_anew(trials.devices(), alike, by_stage, trial);
      });
    }
  }
  return is_better;
}

bool swap_devices(Trials& trials, size_t island) {
  bool is_better = false;
  for (size_t p = 0; p < trials.pipelines(island).size(); ++p) {
    for (size_t s = 0; s < trials.num_stages(island, p); ++s) {
      for (size_t t = s + 1; t < trials.num_stages(island, p); ++t) {
        if (!could_exchange(trials, island, p, s, p, t)) continue;
        is_better |= trials.attempt_pipelines(island, p, [&](Pipeline& pipeline) {
          return exchange_devices(trials.devices(), pipeline, s, pipeline, t);
        });
      }
    }
  }
  const std::vector<size_t> kinds = trials.kinds_of(island);
  for (size_t p : kinds) {
    for (size_t q : kinds) {
      for (size_t s = 0; p < q && s < trials.num_stages(island, p); ++s) {
        for (size_t t = 0; t < trials.num_stages(island, q); ++t) {
          if (!could_exchange(trials, island, p, s, q, t)) continue;
          is_better |= trials.attempt(island, island, [&](Island& trial, Island&) {
            return exchange_devices(trials.devices(), trial.pipelines[p], s, trial.pipelines[q], t);
          });
        }
      }
    }
  }
  return is_better;
}

}  // namespace skarv
