#include "wan/round/local_journal.h"

#include <algorithm>

#include "wan/round/fields.h"
#include "wan/round/record.h"

namespace skarv::wan {

namespace {

// In the order of their use, which need not be that of their numbers.
Result<std::vector<SampleRange>> ranges_in_order(const Json& json, const std::string& origin) {
  std::vector<SampleRange> ranges;
  for (const Json& entry : json) {
    SKARV_ASSIGN(const auto range, ranges_from_json(Json::array({entry}), origin));
    ranges.push_back(range.front());
  }
  return ranges;
}

}  // namespace

void LocalJournal::leased(const LeaseGranted& lease) {
  ++num_changes_;
  generation_ = lease.generation;
  last_lease_ = lease.id;
  samples_.insert(samples_.end(), lease.ranges.begin(), lease.ranges.end());
}

void LocalJournal::trained(int64_t step, int64_t tokens, const std::vector<SampleRange>& samples) {
  if (step <= stable_ || (!steps_.empty() && step <= steps_.back().step)) return;  // once more
  ++num_changes_;
  steps_.push_back({step, tokens, samples});
}

void LocalJournal::froze(int64_t round, int64_t step) {
  ++num_changes_;
  snapshot_round_ = round;
  snapshot_step_ = step;
}

void LocalJournal::wanted(const ApplyLocal& apply) {
  if (apply.verdict == LocalVerdict::kReset) {
    const int64_t changes = num_changes_ + 1;
    *this = LocalJournal(apply.round);
    num_changes_ = changes;
    return;
  }
  ++num_changes_;
  round_ = apply.round;
  takings_.push_back({apply});
  if (apply.verdict != LocalVerdict::kIncluded || snapshot_round_ != apply.round) return;
  delivered_ = snapshot_step_;
  drop_steps();
}

void LocalJournal::took(int64_t round, int64_t step) {
  for (Taking& taking : takings_) {
    if (taking.apply.round == round) taking.taken_at = step;
  }
  ++num_changes_;
}

void LocalJournal::stable(int64_t step) {
  ++num_changes_;
  uint64_t used = 0;
  for (const LocalTraining::Step& done : steps_) {
    if (done.step <= stable_ || done.step > step) continue;
    for (const SampleRange& range : done.samples) used += range.size();
  }
  while (used > 0 && !samples_.empty()) {
    SampleRange& first = samples_.front();
    const uint64_t count = std::min(used, first.size());
    first.begin += count;
    used -= count;
    if (first.size() == 0) samples_.pop_front();
  }
  while (!takings_.empty() && takings_.front().taken_at >= 0 && takings_.front().taken_at < step) {
    takings_.pop_front();
  }
  stable_ = step;
  drop_steps();
}

void LocalJournal::drop_steps() {
  while (!steps_.empty() && steps_.front().step <= std::min(delivered_, stable_)) {
    steps_.pop_front();
  }
}

LocalState LocalJournal::state() const {
  LocalState state{generation_,     round_,         stable_,           last_lease_,
                   snapshot_round_, snapshot_step_, !takings_.empty(), {}};
  // The keeper has the two sides of one round only.
  if (takings_.size() > 1) state.generation = -1;
  for (const LocalTraining::Step& done : steps_) {
    if (done.step > delivered_) state.undelivered.push_back(done);
  }
  return state;
}

std::vector<ApplyLocal> LocalJournal::applies() const {
  std::vector<ApplyLocal> applies;
  for (const Taking& taking : takings_) {
    applies.push_back(taking.apply);
    applies.back().token = 0;
    if (taking.taken_at >= 0) applies.back().not_before_step = taking.taken_at;
  }
  return applies;
}

bool LocalJournal::needs_base() const {
  return std::ranges::any_of(takings_, [](const Taking& taking) {
    return taking.apply.verdict == LocalVerdict::kExcluded;
  });
}

Json LocalJournal::to_json() const {
  Json steps = Json::array(), takings = Json::array();
  for (const LocalTraining::Step& step : steps_) {
    steps.push_back(
        {{"step", step.step}, {"tokens", step.tokens}, {"samples", wan::to_json(step.samples)}});
  }
  for (const Taking& taking : takings_) {
    takings.push_back({{"round", taking.apply.round},
                       {"fragment", taking.apply.fragment},
                       {"included", taking.apply.verdict == LocalVerdict::kIncluded},
                       {"alpha", taking.apply.alpha},
                       {"not_before", taking.apply.not_before_step},
                       {"taken_at", taking.taken_at}});
  }
  return {{"generation", generation_},
          {"round", round_},
          {"last_lease", last_lease_},
          {"snapshot_round", snapshot_round_},
          {"snapshot_step", snapshot_step_},
          {"stable", stable_},
          {"delivered", delivered_},
          {"steps", std::move(steps)},
          {"samples", wan::to_json({samples_.begin(), samples_.end()})},
          {"applies", std::move(takings)}};
}

Result<LocalJournal> LocalJournal::from_json(const Json& json, const std::string& origin) {
  Fields fields(json, origin);
  LocalJournal journal;
  journal.generation_ = fields.integer("generation", -1);
  journal.round_ = fields.integer("round", 0);
  journal.last_lease_ = fields.word("last_lease");
  journal.snapshot_round_ = fields.integer("snapshot_round", 0);
  journal.snapshot_step_ = fields.integer("snapshot_step", 0);
  journal.stable_ = fields.integer("stable", 0);
  journal.delivered_ = fields.integer("delivered", 0);
  for (const Json& entry : fields.array("steps", kMaxRanges)) {
    Fields inner(entry, origin);
    LocalTraining::Step step{inner.integer("step", 1), inner.integer("tokens", 0), {}};
    SKARV_ASSIGN(step.samples, ranges_in_order(inner.array("samples", kMaxRanges), origin));
    SKARV_TRY(inner.status());
    journal.steps_.push_back(std::move(step));
  }
  SKARV_ASSIGN(const auto samples, ranges_in_order(fields.array("samples", kMaxRanges), origin));
  journal.samples_.assign(samples.begin(), samples.end());
  for (const Json& entry : fields.array("applies", kMaxRanges)) {
    Fields inner(entry, origin);
    Taking taking;
    taking.apply.round = inner.integer("round", 1);
    taking.apply.fragment = static_cast<int>(inner.integer("fragment", 0));
    taking.apply.verdict =
        inner.flag("included") ? LocalVerdict::kIncluded : LocalVerdict::kExcluded;
    taking.apply.alpha = static_cast<float>(inner.number("alpha"));
    taking.apply.not_before_step = inner.integer("not_before", 0);
    taking.taken_at = inner.integer("taken_at", -1);
    SKARV_TRY(inner.status());
    journal.takings_.push_back(taking);
  }
  SKARV_TRY(fields.status());
  return journal;
}

}  // namespace skarv::wan
