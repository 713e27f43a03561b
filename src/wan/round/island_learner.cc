// A learner (rules 9 and 14): the outer state is fetched slab by slab from the others, each slab at
// whatever round its donor is; commits bring the older ones forward; then the state root has to be
// the one that the coordinator knows. Until then the island neither votes, merges nor donates.
#include <algorithm>

#include "base/text.h"
#include "wan/round/island_machine.h"

namespace skarv::wan {

void IslandMachine::start_learning(const std::string& why) {
  say("learn", cat(settings_.name, " fetches its outer state from the others: ", why));
  if (view_.size() == 1) {
    return halt(Status(Code::kDataLoss, Scope::kRun,
                       cat("the outer state of ", settings_.name, " is wrong (", why,
                           ") and there is no other island to fetch it from"))
                    .with_hint("resume from the newest outer checkpoint"));
  }
  learner_ = true;
  state_complete_ = false;
  rooted_ = false;
  taught_ = now_;
  learned_.clear();
  chain_.reset();
  intake_.reset();
  offer_.reset();
  frozen_.clear();
  merger_.clear();
  fetcher_.clear();
  frozen_round_ = snapshot_asked_ = current();
  work(WithdrawJob{});
}

void IslandMachine::consider_learning() {
  if (promised_.epoch == 0 || view_.size() == 0) return;
  if ((!state_complete_ || intake_) && now_ - taught_ > settings_.timers.silent) {
    say("donor", cat(settings_.name, " waits for its outer state: none of ", join(others(), ", "),
                     " gives it, and it asks them until one does. Start those that are down; if "
                     "all of them wait for it too, stop the run and resume it from the newest "
                     "outer checkpoint"));
  }
  if (!state_complete_) {
    for (int slab = 0; slab < table_.size(); ++slab) {
      if (learned_.contains(slab)) continue;
      std::vector<std::string> donors = others();
      // Spread over the donors.
      std::rotate(donors.begin(), donors.begin() + slab % donors.size(), donors.end());
      fetcher_.want({FetchKind::kState, 0, slab, ""}, {}, std::move(donors), false, now_);
    }
    return;
  }
  if (applied_ < mixed_until_ || intake_ || commits_.contains(current())) return;
  if (!rooted_) {
    if (!root_asked_) {
      root_asked_ = true;
      work(RootJob{});
    }
    return;
  }
  // Proven only against a root that a majority has shown for the very same round.
  if (!beat_ || beat_->settled != applied_ || beat_->committed != applied_) return;
  if (beat_->state_root != state_root_) {
    return start_learning("what it fetched is not what the majority has");
  }
  chain_ = beat_->chain;
  learner_ = false;
  committed_ = std::max(committed_, applied_);
  if (committed_ == applied_) committed_chain_ = *chain_;
  actions_.push_back(PersistIsland{LogCommit{applied_, {}, *chain_}});
  frozen_round_ = snapshot_asked_ = applied_;
  actions_.push_back(Note{"member", {{"round", applied_}, {"state_root", state_root_.hex()}}});
  send(kCoordinatorName, applied_, 0, Applied{*chain_, state_root_});
  reset_local("its outer state was fetched anew");
}

void IslandMachine::state_fetched(const std::string& from, const Fetched& fetched) {
  if (!learner_ || state_complete_ || learned_.contains(fetched.slab)) return;
  donor_applied_[fetched.slab] = fetched.applied;
  work(InstallJob{fetched.slab, fetched.version, fetched.leaf, fetched.bytes, from});
}

void IslandMachine::installed(const WorkDone& done, const InstallJob& job) {
  if (!learner_ || state_complete_) return;
  const Fetcher::Key key{FetchKind::kState, 0, job.slab, ""};
  if (!done.status.ok()) {
    say("state " + job.from, done.status.message());
    fetcher_.refused(key, job.from, now_);
    return;
  }
  fetcher_.done(key);
  versions_[job.slab] = job.version;
  learned_[job.slab] = donor_applied_[job.slab];
  if (static_cast<int>(learned_.size()) != table_.size()) return;
  const auto by_round = [](const auto& a, const auto& b) { return a.second < b.second; };
  applied_ = std::min_element(learned_.begin(), learned_.end(), by_round)->second;
  mixed_until_ = std::max_element(learned_.begin(), learned_.end(), by_round)->second;
  state_complete_ = true;
  root_asked_ = rooted_ = false;
  commits_.erase(commits_.begin(), commits_.upper_bound(applied_));
}

// A learner brings each slab that is older than the round forward by itself.
void IslandMachine::feed_replay() {
  Intake& intake = *intake_;
  const int64_t n = intake.record.round;
  rooted_ = root_asked_ = false;
  bool all = true;
  for (size_t i = 0; i < intake.slabs.size(); ++i) {
    const int slab = intake.slabs[i];
    if (versions_[slab] >= n) continue;
    all = false;
    if (intake.leaves.empty()) {
      fetcher_.want({FetchKind::kLeaves, n, 0, ""}, {}, others(), false, now_);
      continue;
    }
    if (intake.asked.contains(slab)) continue;
    if (const Bytes* bytes = find_merged(n, slab, intake.leaves[i])) {
      intake.asked.insert(slab);
      work(ReplayJob{slab, n, intake.record.scalars, intake.leaves[i], bytes->bytes, bytes->from});
    } else {
      fetcher_.want({FetchKind::kPayload, n, slab, ""}, intake.leaves[i], others(), false, now_);
    }
  }
  if (!all) return;
  applied_ = n;
  if (n > committed_) {
    committed_ = n;
    committed_chain_ = chain_after(intake.record);
    actions_.push_back(PersistIsland{LogCommit{n, intake.digest, committed_chain_}});
  }
  intake_.reset();
  fetcher_.drop_rounds_through(applied_);
  merged_bytes_.erase(merged_bytes_.begin(), merged_bytes_.upper_bound(applied_));
  commits_.erase(commits_.begin(), commits_.upper_bound(applied_));
}

void IslandMachine::replayed(const WorkDone& done, const ReplayJob& job) {
  if (!learner_ || !intake_ || intake_->record.round != job.round) return;
  intake_->asked.erase(job.slab);
  const Fetcher::Key key{FetchKind::kPayload, job.round, job.slab, ""};
  if (done.status.ok()) {
    versions_[job.slab] = job.round;
    fetcher_.done(key);
    return;
  }
  say("replay " + job.from, done.status.message());
  drop_merged(job.round, job.slab, job.leaf);
  fetcher_.refused(key, job.from, now_);
}

void IslandMachine::rooted(const WorkDone& done) {
  root_asked_ = false;
  // Changed meanwhile: asked again when it is needed.
  if (learner_ && (!state_complete_ || intake_)) return;
  if (!done.status.ok()) return start_learning(done.status.message());
  state_root_ = done.state_root;
  rooted_ = true;
}

}  // namespace skarv::wan
