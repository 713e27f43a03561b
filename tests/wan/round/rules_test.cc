// One clause of a rule of protocol.md each: a run that would go another way without it.
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

#include "wan/round/simulator.h"

namespace skarv::wan {
namespace {

constexpr double kNever = std::numeric_limits<double>::infinity();

template <typename M>
bool is(const Message& message) {
  return std::holds_alternative<M>(message.body);
}

// --- rule 3

// Who had no finite values starts again from the outer weights, and may offer to the same round
// after another period; the round is kept open here by c.
TEST(Rules, WhoDeclinedMayOfferToTheSameRound) {
  Simulator run(quick());
  bool declined = false;
  double offered = kNever;  // by b, with values
  run.on_work = [&](int island, KeeperStore&, WorkDone& done) {
    const auto* freeze = std::get_if<FreezeJob>(&done.job);
    if (island != 1 || freeze == nullptr || freeze->round != 2 || declined) return;
    declined = true;
    done.status = Status(Code::kInvalidArgument, Scope::kSite, "values are not finite");
  };
  run.on_send = [&](const std::string& from, const std::string&, Message& message) {
    const auto* offer = std::get_if<Offer>(&message.body);
    if (offer == nullptr || message.fence.round != 2) return true;
    if (from == "b" && !offer->declined) offered = std::min(offered, run.now_seconds());
    return from != "c" || run.now_seconds() > offered + 0.1;
  };
  ASSERT_EQ(run.run(), "");
  EXPECT_TRUE(declined);
  const RecordEntry* before = run.ledger()[0].record.find("b");
  const RecordEntry* entry = run.ledger()[1].record.find("b");
  ASSERT_NE(before, nullptr);
  ASSERT_NE(entry, nullptr);
  EXPECT_EQ(entry->contribution.generation, before->contribution.generation + 1);
  EXPECT_LE(entry->contribution.steps, 4);  // of the second period alone
}

// --- rule 4

TEST(Rules, RoundIsClosedWhenTheBudgetIsUp) {
  Simulator run(quick());
  double offered = kNever, closed = kNever;
  run.on_send = [&](const std::string& from, const std::string&, Message& message) {
    if (message.fence.round != 2) return true;
    if (is<Close>(message)) closed = std::min(closed, run.now_seconds());
    if (!is<Offer>(message)) return true;
    if (from != "c") offered = std::min(offered, run.now_seconds());
    return from != "c";
  };
  ASSERT_EQ(run.run(), "");
  EXPECT_EQ(run.ledger()[1].record.delivered.size(), 2u);
  EXPECT_EQ(run.ledger()[1].record.find("c"), nullptr);
  EXPECT_GE(closed - offered, 5.0);
  EXPECT_LE(closed - offered, 5.2);
}

TEST(Rules, TooFewContributorsPauseTheRunAndItSaysSo) {
  SimOptions options = quick();
  options.exchange.min_contributors = 3;
  Simulator run(options);
  bool withheld = true;
  run.on_send = [&](const std::string& from, const std::string&, Message& message) {
    return !(withheld && from == "c" && is<Offer>(message) && message.fence.round == 2);
  };
  EXPECT_FALSE(run.run_until([&] { return run.ledger().size() > 1; }, 20));
  EXPECT_TRUE(run.said("round 2 has 2 of at least 3 contributors; the run pauses"));
  withheld = false;
  ASSERT_EQ(run.run(), "");
  for (const CommittedRound& row : run.ledger()) EXPECT_EQ(row.record.delivered.size(), 3u);
}

// --- rule 5

// What c merges gets lost, so that c alone accepts the first attempt and there is a second one,
// which c accepts in its place. Then the first comes again.
TEST(Rules, HigherAttemptReplacesALowerOneAndNotTheOtherWayRound) {
  Simulator run(quick());
  bool lost = true, alone = true;
  std::vector<int64_t> accepted;  // attempts at round 2, by c
  std::optional<Message> first;
  run.on_send = [&](const std::string& from, const std::string& to, Message& message) {
    if (message.fence.round != 2) return true;
    const int64_t attempt = message.fence.attempt;
    if (is<Open>(message) && attempt == 2) lost = false;
    if (lost && ((from == "c" && is<Merged>(message)) || is<Fetched>(message))) return false;
    if (to == "c" && is<Accept>(message) && attempt == 1) first = message;
    if (!is<Accepted>(message)) return true;
    if (from == "c") accepted.push_back(attempt);
    return from == "c" || !alone;  // alone it makes no quorum
  };
  const auto second = [&] { return !accepted.empty() && accepted.back() == 2; };
  ASSERT_TRUE(run.run_until(second, 60)) << run.failure();
  ASSERT_TRUE(first);
  EXPECT_EQ(accepted.front(), 1);
  run.deliver(kCoordinatorName, "c", *first);
  run.run_until([] { return false; }, 0.3);
  alone = false;
  ASSERT_EQ(run.run(), "");
  EXPECT_TRUE(std::ranges::is_sorted(accepted));
  EXPECT_EQ(run.ledger()[1].record.attempt, 2);
}

// --- rule 8

TEST(Rules, MoreThanTwoRoundsBehindStartsFromTheOuterWeights) {
  SimOptions options = quick();
  options.rounds = 8;
  Simulator run(options);
  bool apart = false;
  run.on_send = [&](const std::string& from, const std::string& to, Message&) {
    return !(apart && (from == "c" || to == "c"));
  };
  ASSERT_TRUE(run.run_until([&] { return run.ledger().size() == 2; }, 60));
  apart = true;
  ASSERT_TRUE(run.run_until([&] { return run.ledger().size() == 6; }, 60));
  apart = false;
  ASSERT_TRUE(run.run_until([&] { return run.was_reset(2); }, 60)) << run.failure();
  EXPECT_TRUE(run.said("of c start again from the outer ones: it was more than two rounds behind"));
  EXPECT_EQ(run.local_weights(2), run.outer_weights(2));
  ASSERT_EQ(run.run(), "");
  // What it trained on before the reset is not counted later.
  const RecordEntry* before = run.ledger()[1].record.find("c");
  const RecordEntry* after = run.ledger().back().record.find("c");
  ASSERT_NE(before, nullptr);
  ASSERT_NE(after, nullptr);
  EXPECT_EQ(after->contribution.generation, before->contribution.generation + 1);
}

// --- rule 9

// A donor that is a learner itself answers that it has none, a dead one does not answer.
TEST(Rules, LearnerWithoutDonorsSaysWhomItWaitsForAndGoesOnWhenOneIsThere) {
  for (const bool silent : {false, true}) {
    Simulator run(quick());
    bool damaged = false, away = true;
    run.on_work = [&](int island, KeeperStore&, WorkDone& done) {
      const auto* apply = std::get_if<ApplyJob>(&done.job);
      if (island != 1 || apply == nullptr || apply->order.round != 2 || damaged) return;
      damaged = true;
      done.status = Status(Code::kDataLoss, Scope::kSite, "memory is damaged");
    };
    run.on_send = [&](const std::string&, const std::string&, Message& message) {
      auto* fetched = std::get_if<Fetched>(&message.body);
      if (!away || fetched == nullptr || fetched->kind != FetchKind::kState) return true;
      fetched->absent = true;
      return !silent;
    };
    EXPECT_TRUE(run.run_until([&] { return run.said("b waits for its outer state"); }, 30));
    EXPECT_TRUE(run.said("none of a, c gives it"));
    EXPECT_TRUE(run.said("resume it from the newest outer checkpoint"));
    EXPECT_TRUE(run.island(1)->learner());
    away = false;
    EXPECT_EQ(run.run(), "") << silent;
  }
}

// --- rule 7

SimOptions two_are_enough() {
  SimOptions options = quick();
  options.exchange.contributions = 2;
  return options;
}

// Round 2 is committed without c.
bool withhold_second_offer(const std::string& from, const std::string&, Message& message) {
  return !(from == "c" && is<Offer>(message) && message.fence.round == 2);
}

// c takes round 1 again when round 2 was committed without it: only then may its keeper go on.
TEST(Rules, KeeperWaitsForMergedWeightsThatAreTakenAgain) {
  Simulator run(two_are_enough());
  run.on_send = withhold_second_offer;
  double applied = kNever;
  run.on_work = [&](int island, KeeperStore&, WorkDone& done) {
    const auto* apply = std::get_if<ApplyJob>(&done.job);
    if (island == 2 && apply != nullptr && apply->order.round == 2) applied = run.now_seconds();
  };
  const auto has_taken = [&](int64_t round) {
    return std::ranges::any_of(run.journal(), [&](const Simulator::Moment& moment) {
      return moment.what == Simulator::Moment::What::kApply && moment.island == 2 &&
             moment.round == round;
    });
  };
  ASSERT_TRUE(run.run_until([&] { return has_taken(1); }, 20));
  const double lost = run.now_seconds();
  run.lose_workers(2, 3);
  ASSERT_EQ(run.run(), "");
  EXPECT_EQ(run.ledger()[1].record.find("c"), nullptr);
  EXPECT_GE(applied, lost + 3);
  EXPECT_FALSE(run.was_reset(2));
}

// The keeper was further already: what the workers would take again is gone.
TEST(Rules, WorkersThatAreLostBehindTheirKeeperStartFromTheOuterWeights) {
  Simulator run(two_are_enough());
  run.on_send = withhold_second_offer;
  ASSERT_TRUE(run.run_until([&] { return run.applied(2) == 2; }, 20));
  run.lose_workers(2, 1);
  ASSERT_EQ(run.run(), "");
  EXPECT_TRUE(run.was_reset(2));
  EXPECT_NE(run.ledger().back().record.find("c"), nullptr);
}

// --- rule 12

// Two contributions are enough, and c's offers come 2 s after the others'.
TEST(Rules, IslandExcludedTwiceIsWaitedFor) {
  Simulator run(two_are_enough());
  double offered = kNever;  // first to round 3
  run.on_send = [&](const std::string& from, const std::string&, Message& message) {
    if (!is<Offer>(message) || message.fence.round > 3) return true;
    if (message.fence.round == 3) offered = std::min(offered, run.now_seconds());
    return from != "c" || run.now_seconds() >= offered + 2;
  };
  ASSERT_EQ(run.run(), "");
  EXPECT_EQ(run.ledger()[0].record.find("c"), nullptr);
  EXPECT_EQ(run.ledger()[1].record.find("c"), nullptr);
  EXPECT_EQ(run.ledger()[2].record.delivered.size(), 3u);
}

// --- rule 14

// b's first offer to round 3 names a state root that is not the others'; `early`: it comes before
// the root after round 2 is known.
void expect_offer_refused(bool early) {
  Simulator run(quick());
  double offered = kNever;
  run.on_send = [&](const std::string& from, const std::string&, Message& message) {
    auto* offer = std::get_if<Offer>(&message.body);
    if (from == "b" && offer != nullptr && message.fence.round == 3 && offered == kNever) {
      offered = run.now_seconds();
      offer->base_state_root = {};
    }
    const bool reports = is<Applied>(message) || is<IslandBeat>(message);
    const bool withheld = early && reports && from != "b" && message.fence.round == 2;
    return !withheld || run.now_seconds() > offered + 0.05;
  };
  ASSERT_EQ(run.run(), "");
  EXPECT_LT(offered, kNever);
  EXPECT_TRUE(run.said("b fetches its outer state"));
  EXPECT_TRUE(run.said("the outer state under this offer is not the others'"));
}

TEST(Rules, OfferOnAnotherOuterStateIsRefused) { expect_offer_refused(false); }

TEST(Rules, OfferFromBeforeTheStateRootWasKnownIsRefused) { expect_offer_refused(true); }

// b has a state root that is not the others', and does not hear that they say so.
TEST(Rules, RecordOnAnotherOuterStateIsNotTaken) {
  Simulator run(quick());
  bool changed = false;
  run.on_work = [&](int island, KeeperStore&, WorkDone& done) {
    const auto* apply = std::get_if<ApplyJob>(&done.job);
    if (island != 1 || apply == nullptr || apply->order.round != 2 || changed) return;
    changed = true;
    done.state_root = {};
  };
  run.on_send = [&](const std::string&, const std::string& to, Message& message) {
    return !(to == "b" && is<Fenced>(message));
  };
  ASSERT_EQ(run.run(), "");
  EXPECT_TRUE(changed);
  EXPECT_TRUE(run.said("round 3 builds on another outer state"));
}

}  // namespace
}  // namespace skarv::wan
