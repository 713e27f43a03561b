#include "director.h"

#include <algorithm>

#include "base/text.h"

namespace skarv {

namespace {

handoff::Verdict verdict_of(wan::LocalVerdict verdict) {
  switch (verdict) {
    case wan::LocalVerdict::kIncluded:
      return handoff::Verdict::kIncluded;
    case wan::LocalVerdict::kExcluded:
      return handoff::Verdict::kExcluded;
    case wan::LocalVerdict::kReset:
      return handoff::Verdict::kReset;
  }
  return handoff::Verdict::kReset;
}

handoff::ApplyOrder order_of(const wan::ApplyLocal& apply) {
  return {apply.round, apply.fragment, verdict_of(apply.verdict), apply.alpha};
}

}  // namespace

Director::Director(const DirectorSettings& settings) : settings_(settings) {}

void Director::take_snapshot(const wan::TakeSnapshot& wanted) {
  if (wanted.round > snapshot_round_) snapshot_wanted_ = wanted;
}

void Director::apply_local(const wan::ApplyLocal& wanted) {
  if (!exact()) journal_.wanted(wanted);
  if (wanted.fragment < 0) {
    // Everything local is void: no order that was given before matters any more.
    applies_.clear();
    apply_ordered_ = wanted;
    notices_.push_back(NeedReset{});
    return;
  }
  if (exact()) {
    apply_ordered_ = wanted;
    applied_by_.clear();
    exact_apply_ = handoff::Apply{order_of(wanted)};
    return;
  }
  if (finished()) {
    // Nothing is trained any more; the outer weights are what counts.
    notices_.push_back(LocalApplied{wanted.token});
    taken_round_ = wanted.round;
    return;
  }
  applies_.push_back(wanted);
}

void Director::add_samples(const wan::LeaseGranted& lease) {
  journal_.leased(lease);
  for (const SampleRange& range : lease.ranges) {
    samples_.push_back(range);
    num_samples_ += range.size();
  }
  samples_asked_ = false;
}

bool Director::may_wait(Time now, const std::string& why) {
  waiting_ = why;
  if (!blocked_since_) blocked_since_ = now;
  return settings_.overlap_steps == 0 || now - *blocked_since_ < settings_.patience;
}

// At the limit no step can be trained before them any more.
bool Director::apply_is_due() const {
  return !applies_.empty() && !apply_ordered_ &&
         (next_ >= applies_.front().not_before_step || next_ >= limit_);
}

bool Director::takes_merged_weights(Time now, handoff::Step& order) {
  if (apply_is_due()) {
    apply_ordered_ = applies_.front();
    applies_.pop_front();
    journal_.took(apply_ordered_->round, next_);
    applied_by_.clear();
    order.apply = order_of(*apply_ordered_);
    taken_round_ = apply_ordered_->round;
    return true;
  }
  const bool due =
      snapshot_round_ > taken_round_ && next_ >= snapshot_step_ + settings_.overlap_steps;
  if (!due || apply_ordered_) return true;
  // Before a stop no step is trained that would be lost if they never come.
  if (outwaited_round_ == snapshot_round_ && !stopping_) return true;
  if (may_wait(now, cat("the merged weights of round ", snapshot_round_)) || stopping_)
    return false;
  outwaited_round_ = snapshot_round_;
  return true;
}

// `with_apply`: before its step the order takes the oldest merged weights.
bool Director::takes_snapshot(Time now, handoff::Step& order, bool with_apply) {
  const int64_t steps_after = next_ + 1;
  const bool all_taken = applies_.size() == (with_apply ? 1 : 0);
  if (snapshot_wanted_ && steps_after >= snapshot_wanted_->not_before_step && !snapshot_ &&
      all_taken) {
    order.snapshot = handoff::SnapshotOrder{snapshot_wanted_->round, snapshot_wanted_->fragment};
    snapshot_ = Snapshot{*snapshot_wanted_, steps_after, {}};
    snapshot_round_ = snapshot_wanted_->round;
    snapshot_step_ = steps_after;
    snapshot_wanted_.reset();
    return true;
  }
  const int64_t due_round = snapshot_round_ + 1;
  const bool due = steps_after == due_round * settings_.steps_per_round;
  // Without this island it is over already.
  if (with_apply && applies_.front().round >= due_round) return true;
  // No round opens before the last one's merged weights are there: they were waited for.
  if (!due || !all_taken || (snapshot_round_ > taken_round_ && !with_apply)) return true;
  return !may_wait(now, cat("the coordinator to open round ", due_round));
}

bool Director::take_samples(handoff::Step& order) {
  const uint64_t wanted = static_cast<uint64_t>(settings_.samples_per_step);
  const int64_t ahead = std::max<int64_t>(2, settings_.steps_per_round);
  const int64_t left = std::max<int64_t>(1, settings_.total_steps - next_);
  const uint64_t stock = wanted * static_cast<uint64_t>(std::min(ahead, left));
  if (num_samples_ < stock && !samples_asked_) {
    samples_asked_ = true;
    notices_.push_back(NeedSamples{stock - num_samples_});
  }
  if (num_samples_ < wanted) {
    waiting_ = "samples from the coordinator";
    return false;
  }
  uint64_t missing = wanted;
  while (missing > 0) {
    SampleRange& first = samples_.front();
    const uint64_t count = std::min(missing, first.size());
    order.samples.emplace_back(first.begin, first.begin + count);
    first.begin += count;
    missing -= count;
    if (first.size() == 0) samples_.pop_front();
  }
  num_samples_ -= wanted;
  return true;
}

std::optional<handoff::Step> Director::next_order(Time now) {
  // One step runs, one waits at the workers; in exact mode a step has to be merged first.
  if (next_ - done_ >= (exact() ? 1 : 2)) return std::nullopt;
  if (!again_.empty()) {
    handoff::Step order = again_.front();
    again_.pop_front();
    next_ = order.step + 1;
    return order;
  }
  if (trained() || stop_ordered_) return std::nullopt;
  // When the island stands at its limit already, its merged weights may come, or a round open: they
  // are taken before one step more, and the snapshot after it. The limit moves with the snapshot,
  // and no snapshot is taken before the weights are.
  const bool due_apply = !exact() && apply_is_due();
  const bool owes_snapshot = !exact() && snapshot_wanted_ && !snapshot_ &&
                             applies_.size() == (due_apply ? 1 : 0) &&
                             next_ + 1 >= snapshot_wanted_->not_before_step;
  if (next_ >= limit_ && !owes_snapshot && !due_apply) {
    waiting_ = "the coordinator: as far ahead of the last round as it may go";
    return std::nullopt;
  }
  handoff::Step order;
  order.step = next_;
  if (exact()) {
    if (!take_samples(order)) return std::nullopt;
    const int64_t round = next_ + 1;
    order.exchange = handoff::SnapshotOrder{round, 0};
    snapshot_ = Snapshot{{round, 0, 0}, round, {}};
    snapshot_round_ = round;
    if (stopping_) stop_ordered_ = true;
  } else {
    // Nothing is changed before it is sure that the step can be ordered.
    if (num_samples_ < static_cast<uint64_t>(settings_.samples_per_step)) {
      take_samples(order);
      return std::nullopt;
    }
    if (!due_apply && !takes_merged_weights(now, order)) return std::nullopt;
    if (!takes_snapshot(now, order, due_apply)) return std::nullopt;
    if (due_apply) takes_merged_weights(now, order);
    take_samples(order);
    const int parity = 1 - stable_.parity;
    const bool can_save = coming_.step == stable_.step && parity != protected_;
    // No round is under way, or the next one begins with this very step.
    const bool quiet = applies_.empty() && ((order.apply && order.snapshot) ||
                                            (!snapshot_ && snapshot_round_ <= taken_round_));
    if (stopping_ && quiet && can_save) stop_ordered_ = true;
    const bool boundary = order.snapshot || next_ + 1 == snapshot_step_ || stop_ordered_;
    if (boundary && can_save) {
      order.inner_snapshot = parity;
      coming_ = {true, parity, next_ + 1};
    }
  }
  blocked_since_.reset();
  waiting_.clear();
  ++next_;
  since_stable_.push_back(order);
  return order;
}

std::optional<handoff::Apply> Director::take_apply() { return std::exchange(exact_apply_, {}); }

void Director::make_stable(const Stable& stable) {
  stable_ = stable;
  if (stable.from_inner) journal_.stable(stable.step);
  while (!since_stable_.empty() && since_stable_.front().step < stable.step) {
    since_stable_.pop_front();
  }
}

void Director::settle_stable() {
  if (!coming_whole_ || done_ < coming_.step) return;
  coming_whole_ = false;
  make_stable(coming_);
}

// Workers tell of a snapshot before the step that it belongs to; the protocol counts the step's
// samples into the contribution, so it has to hear of them first. In exact mode the step ends only
// after the round: its samples are trained once its gradients are there.
void Director::settle_snapshot() {
  if (!snapshot_ || snapshot_->done_by.size() < static_cast<size_t>(settings_.num_workers)) return;
  if (exact()) {
    count_samples(snapshot_->step);
  } else if (done_ < snapshot_->step) {
    return;
  }
  if (!exact()) journal_.froze(snapshot_->wanted.round, snapshot_->step);
  // At a stop the next start freezes it again, and tells of it.
  if (exact() || !stop_ordered_) {
    notices_.push_back(SnapshotReady{snapshot_->wanted.round, snapshot_->step});
  }
  snapshot_.reset();
}

void Director::count_samples(int64_t steps_done) {
  SamplesTrained trained{steps_done, settings_.tokens_per_step, {}};
  for (const handoff::Step& order : since_stable_) {
    if (order.step + 1 != steps_done) continue;
    for (const auto& [begin, end] : order.samples) trained.samples.push_back({begin, end});
  }
  if (!exact()) journal_.trained(steps_done, trained.tokens, trained.samples);
  notices_.push_back(std::move(trained));
}

void Director::finish_step() {
  // Steps finish in order at every worker, so the lowest reported one is complete first.
  while (!reports_.empty()) {
    auto& [step, by_rank] = *reports_.begin();
    if (!std::all_of(by_rank.begin(), by_rank.end(),
                     [](const auto& one) { return one.has_value(); })) {
      break;
    }
    if (!exact()) count_samples(step + 1);
    StepFinished finished{step + 1, {}};
    for (auto& report : by_rank) finished.workers.push_back(*report);
    done_ = step + 1;
    notices_.push_back(std::move(finished));
    reports_.erase(reports_.begin());
    if (exact()) make_stable({false, 0, done_});
  }
  settle_snapshot();
  settle_stable();
  finish();
}

// No step takes them any more.
void Director::finish() {
  if (!finished()) return;
  for (const wan::ApplyLocal& apply : applies_) notices_.push_back(LocalApplied{apply.token});
  applies_.clear();
}

void Director::heard(int rank, const handoff::Message& message) {
  const auto num_workers = static_cast<size_t>(settings_.num_workers);
  if (const auto* report = std::get_if<handoff::StepDone>(&message)) {
    auto& by_rank = reports_[report->step];
    by_rank.resize(num_workers);
    by_rank[static_cast<size_t>(rank)] = *report;
    finish_step();
  } else if (const auto* snapshot = std::get_if<handoff::SnapshotDone>(&message)) {
    if (!snapshot_ || snapshot_->wanted.round != snapshot->round) return;  // reported before a loss
    snapshot_->done_by.insert(rank);
    settle_snapshot();
  } else if (const auto* inner = std::get_if<handoff::InnerSnapshotDone>(&message)) {
    if (inner->parity != coming_.parity || coming_.step == stable_.step) return;
    coming_by_.insert(rank);
    if (coming_by_.size() < num_workers) return;
    coming_by_.clear();
    coming_whole_ = true;
    settle_stable();
  } else if (const auto* applied = std::get_if<handoff::Applied>(&message)) {
    if (!apply_ordered_ || apply_ordered_->round != applied->round) return;
    applied_by_.insert(rank);
    if (applied_by_.size() < num_workers) return;
    notices_.push_back(LocalApplied{apply_ordered_->token});
    taken_round_ = std::max(taken_round_, apply_ordered_->round);
    apply_answered_ = std::exchange(apply_ordered_, {});
  }
}

std::optional<Director::Notice> Director::take_notice() {
  if (notices_.empty()) return std::nullopt;
  Notice notice = std::move(notices_.front());
  notices_.pop_front();
  return notice;
}

void Director::start_from(int64_t step, int64_t applied) {
  stable_ = coming_ = {false, 0, step};
  next_ = done_ = snapshot_step_ = step;
  snapshot_round_ = taken_round_ = applied;
  journal_ = wan::LocalJournal(applied);
  journal_.froze(applied, step);  // snapshots are due from here on
}

void Director::start_from(int parity, wan::LocalJournal journal) {
  const wan::LocalState local = journal.state();
  stable_ = coming_ = {true, parity, local.step};
  next_ = done_ = local.step;
  snapshot_round_ = local.snapshot_round;
  snapshot_step_ = local.snapshot_step;
  taken_round_ = local.busy ? local.round - 1 : local.round;
  samples_ = journal.samples();
  num_samples_ = 0;
  for (const SampleRange& range : samples_) num_samples_ += range.size();
  const std::vector<wan::ApplyLocal> applies = journal.applies();
  applies_.assign(applies.begin(), applies.end());
  journal_ = std::move(journal);
  finish();
}

// Of the merged weights since the stable state. Workers that start from the outer weights have what
// a round without this island changed, and would take it twice.
void Director::undo_applies() {
  if (!stable_.from_inner) {
    const auto drop = [&](const wan::ApplyLocal& apply) {
      if (apply.verdict != wan::LocalVerdict::kExcluded) return false;
      journal_.took(apply.round, stable_.step);
      notices_.push_back(LocalApplied{apply.token});
      taken_round_ = std::max(taken_round_, apply.round);
      return true;
    };
    std::erase_if(applies_, drop);
    if (apply_ordered_ && drop(*apply_ordered_)) apply_ordered_.reset();
    for (handoff::Step& order : since_stable_) {
      if (order.apply && order.apply->verdict == handoff::Verdict::kExcluded) order.apply.reset();
    }
  }
  const auto comes_again = [&](const handoff::Step& order) {
    return order.apply && apply_answered_ && order.apply->round == apply_answered_->round;
  };
  if (apply_ordered_ || std::ranges::none_of(since_stable_, comes_again)) return;
  apply_ordered_ = apply_answered_;
  notices_.push_back(LocalUndone{apply_ordered_->token});
}

handoff::Load Director::roll_back() {
  reports_.clear();
  coming_by_.clear();
  coming_whole_ = false;
  coming_ = stable_;
  applied_by_.clear();
  if (snapshot_) snapshot_->done_by.clear();
  if (exact() && apply_ordered_) {
    // The keeper has made the step already; loading its weights is taking it.
    notices_.push_back(LocalApplied{apply_ordered_->token});
    taken_round_ = apply_ordered_->round;
    make_stable({false, 0, apply_ordered_->round});
    apply_ordered_.reset();
    exact_apply_.reset();
  }
  if (!exact()) undo_applies();
  again_ = since_stable_;
  for (handoff::Step& order : again_) {
    const bool reported =
        !snapshot_ || !order.snapshot || snapshot_->wanted.round != order.snapshot->round;
    if (reported) order.snapshot.reset();
    if (order.inner_snapshot >= 0) coming_ = {true, order.inner_snapshot, order.step + 1};
  }
  next_ = done_ = stable_.step;
  blocked_since_.reset();
  outwaited_round_ = 0;
  return {stable_.from_inner, stable_.parity, -1, stable_.step};
}

handoff::Load Director::reset() {
  // In exact mode the outer weights after round n are those after step n.
  const int64_t step = exact() && apply_ordered_ ? apply_ordered_->round : done_;
  since_stable_.clear();
  again_.clear();
  reports_.clear();
  coming_by_.clear();
  coming_whole_ = false;
  applied_by_.clear();
  // A round that is still open gets a snapshot of the new weights.
  if (snapshot_) snapshot_wanted_ = std::exchange(snapshot_, {})->wanted;
  samples_.clear();
  num_samples_ = 0;
  samples_asked_ = false;
  exact_apply_.reset();
  if (apply_ordered_) {
    notices_.push_back(LocalApplied{apply_ordered_->token});
    snapshot_round_ = taken_round_ = apply_ordered_->round;
    if (!exact()) journal_.froze(snapshot_round_, step);
    apply_ordered_.reset();
  }
  if (exact() || (snapshot_wanted_ && snapshot_wanted_->round <= taken_round_)) {
    snapshot_wanted_.reset();
  }
  next_ = done_ = step;
  stable_ = coming_ = {false, 0, step};
  blocked_since_.reset();
  outwaited_round_ = 0;
  return {false, 0, -1, step};
}

}  // namespace skarv
