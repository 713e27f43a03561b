// One fault each, and what the run says about it.
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

#include "base/text.h"
#include "wan/round/simulator.h"

namespace skarv::wan {
namespace {

net::Buffer flipped(const net::Buffer& bytes) {
  std::vector<std::byte> copy(bytes.span().begin(), bytes.span().end());
  copy[copy.size() / 2] ^= std::byte{1};
  return net::Buffer::take(std::move(copy));
}

// What a receiver says of such a payload to this slab, in round 2.
std::string complaint(const Simulator& run, const std::string& payload, int slab,
                      const std::string& from) {
  return cat(payload, " to slab ", slab, " (", run.table().name_of(slab), ") of round 2 from ",
             from, " has digest");
}

TEST(Faults, FlippedBitInContributionIsRefusedAndNamed) {
  Simulator run(quick());
  int num_flips = 0, slab = -1;
  run.on_send = [&](const std::string& from, const std::string&, Message& message) {
    auto* contrib = std::get_if<Contrib>(&message.body);
    if (contrib != nullptr && from == "b" && message.fence.round == 2 && num_flips < 1) {
      contrib->bytes = flipped(contrib->bytes);
      slab = contrib->slab;
      ++num_flips;
    }
    return true;
  };
  EXPECT_EQ(run.run(), "");
  ASSERT_EQ(num_flips, 1);
  EXPECT_TRUE(run.said(complaint(run, "contribution", slab, "b")));
  for (const CommittedRound& row : run.ledger()) EXPECT_EQ(row.record.delivered.size(), 3u);
}

TEST(Faults, FlippedBitInMergedSlabIsRefusedAndNamed) {
  Simulator run(quick());
  int num_flips = 0, slab = -1;
  std::string merger;
  run.on_send = [&](const std::string& from, const std::string& to, Message& message) {
    auto* merged = std::get_if<Merged>(&message.body);
    if (merged != nullptr && to == "a" && message.fence.round == 2 && num_flips < 1) {
      merged->bytes = flipped(merged->bytes);
      slab = merged->slab;
      merger = from;
      ++num_flips;
    }
    return true;
  };
  EXPECT_EQ(run.run(), "");
  ASSERT_EQ(num_flips, 1);
  EXPECT_TRUE(run.said(complaint(run, "merged payload", slab, merger)));
}

// Rule 14: an apply that did not do its work is seen by the state root; the island fetches.
TEST(Faults, SkippedApplyIsCaughtByTheStateRoot) {
  Simulator run(quick());
  bool skipped = false;
  run.on_work = [&](int island, KeeperStore& keeper, WorkDone& done) {
    const auto* apply = std::get_if<ApplyJob>(&done.job);
    if (island != 1 || apply == nullptr || apply->order.round != 2 || skipped) return;
    skipped = true;
    // One slab keeps its old weights; the root is of what is in memory.
    const SlabMemory& slab = keeper.memory().slabs()[0];
    const SlabState now = keeper.state(0), before = keeper.previous(0);
    for (const std::span<float> side : {slab.w[0], slab.w[1]}) {
      if (side.data() == now.w.data()) std::copy(before.w.begin(), before.w.end(), side.begin());
    }
    std::vector<Digest> leaves;
    for (int s : keeper.slabs()) leaves.push_back(keeper.state_leaf(s));
    done.state_root = merkle_root(leaves);
  };
  EXPECT_EQ(run.run(), "");
  EXPECT_TRUE(skipped);
  EXPECT_TRUE(run.said("b fetches its outer state"));
}

TEST(Faults, TwoIslandsThatDisagreePause) {
  Simulator run(quick(2));
  run.on_work = [&](int island, KeeperStore&, WorkDone& done) {
    const auto* apply = std::get_if<ApplyJob>(&done.job);
    if (island == 1 && apply != nullptr && apply->order.round == 2) done.state_root = {};
  };
  EXPECT_FALSE(run.run_until([&] { return run.ledger().size() > 2; }, 30));
  EXPECT_EQ(run.failure(), "");
  EXPECT_TRUE(run.said("none has a majority"));
}

// A payload that cannot be stored is not the sender's fault: asking again would not end.
TEST(Faults, FullDiskStopsTheIslandAndSaysWhy) {
  Simulator run(quick());
  run.on_work = [&](int island, KeeperStore&, WorkDone& done) {
    const auto* hold = std::get_if<HoldJob>(&done.job);
    if (island == 1 && hold != nullptr && hold->round == 2) {
      done.status = io_error("cannot write to the log", "payloads-0.log", ENOSPC);
    }
  };
  const std::string end = run.run();
  for (const char* part : {"island b halts", "round 2 cannot be kept", "payloads-0.log",
                           "No space left", "free disk space"}) {
    EXPECT_NE(end.find(part), std::string::npos) << end;
  }
}

TEST(Faults, ValuesThatAreNotFiniteAreNotOffered) {
  SimOptions options = quick();
  options.faults_end_seconds = 0.6;
  options.nan_rate = 0.2;
  Simulator run(options);
  EXPECT_EQ(run.run(), "");
  EXPECT_TRUE(run.said("no contribution"));
  EXPECT_TRUE(run.said("values are not finite"));
}

bool has_residual(const KeeperStore& keeper) {
  return std::ranges::any_of(keeper.slabs(), [&](int slab) {
    return std::ranges::any_of(keeper.residual(slab), [](float e) { return e != 0; });
  });
}

// A contributor whose facts are not finite (a broken encoder) is rejected by the gate and reset:
// its weights are the outer ones, its residual is zero (rule 8).
TEST(Faults, GateRejectsContributionThatIsNotFinite) {
  SimOptions options = quick();
  options.exchange.alpha = 0.5;  // whoever is included keeps half of its own weights
  Simulator run(options);
  std::map<int, bool> residuals;  // after round 2
  run.on_work = [&](int island, KeeperStore& keeper, WorkDone& done) {
    const auto* measure = std::get_if<MeasureJob>(&done.job);
    if (measure != nullptr && measure->island == "c" && measure->round == 2) {
      done.facts.finite = false;
    }
    const auto* apply = std::get_if<ApplyJob>(&done.job);
    if (apply != nullptr && apply->order.round == 2) residuals[island] = has_residual(keeper);
  };
  ASSERT_TRUE(run.run_until([&] { return run.was_reset(2); }, 60)) << run.failure();
  EXPECT_EQ(run.applied(2), 2);
  EXPECT_EQ(run.local_weights(2), run.outer_weights(2));
  EXPECT_EQ(run.run(), "");
  EXPECT_EQ(residuals, (std::map<int, bool>{{0, true}, {1, true}, {2, false}}));
  const RecordEntry* entry = run.ledger()[1].record.find("c");
  ASSERT_NE(entry, nullptr);
  EXPECT_EQ(entry->verdict, Verdict::kRejected);
  EXPECT_TRUE(run.said("the gate refused"));
}

// Everything that was ever sent comes again later: old terms, rounds, attempts.
TEST(Faults, ReplaysChangeNothing) {
  Simulator run(quick());
  std::vector<std::tuple<std::string, std::string, Message>> sent;
  run.on_send = [&](const std::string& from, const std::string& to, Message& message) {
    sent.emplace_back(from, to, message);
    return true;
  };
  ASSERT_TRUE(run.run_until([&] { return run.ledger().size() == 3; }, 60));
  run.crash_coordinator(0.2);
  ASSERT_TRUE(run.run_until([&] { return run.ledger().size() == 4; }, 60));
  const auto old = sent;
  for (const auto& [from, to, message] : old) run.deliver(from, to, message);
  EXPECT_EQ(run.run(), "");
  EXPECT_EQ(run.ledger().size(), 5u);
}

TEST(Faults, FutureFencesAreNotActedOn) {
  Simulator run(quick());
  Fence fence;
  run.on_send = [&](const std::string& from, const std::string&, Message& seen) {
    if (from == kCoordinatorName) fence = seen.fence;
    return true;
  };
  ASSERT_TRUE(run.run_until([&] { return run.ledger().size() == 2; }, 60));
  run.on_send = nullptr;
  fence.term.epoch += 5;  // nobody promised it
  fence.round = 3;
  Record record = run.ledger()[1].record;
  record.round = 3;
  run.deliver(kCoordinatorName, "a", {fence, Commit{record, 0}});
  fence.round = 13;
  run.deliver(kCoordinatorName, "a", {fence, Open{0, 1, {"a"}}});
  EXPECT_EQ(run.run(), "");
  EXPECT_EQ(run.ledger().size(), 5u);
}

TEST(Faults, MessagesOfAnotherRunAreRefused) {
  Simulator run(quick());
  ASSERT_TRUE(run.run_until([&] { return run.ledger().size() == 1; }, 60));
  Message message;
  message.fence.run = 12345;
  message.body = Contrib{0, 0, {}, net::Buffer::take(std::string("x"))};
  run.deliver("b", "a", message);
  EXPECT_TRUE(run.said("another run or model"));
  EXPECT_EQ(run.run(), "");
}

TEST(Faults, HandshakeNamesWhatDiffers) {
  skarv::Run run;
  run.model.vocabulary = 16;
  run.model.hidden = 4;
  run.model.num_blocks = 2;
  run.model.num_heads = 2;
  run.model.num_kv_heads = 1;
  run.model.head_dim = 2;
  run.model.ffn = 8;
  run.model.context = 8;
  const SlabTable table(run.model, 1), other(run.model, 2);
  const Handshake mine = Handshake::of(run, table).value();
  EXPECT_TRUE(mine.check(mine.hello(""), "b").ok());
  Hello hello = Handshake::of(run, other).value().hello("");
  EXPECT_NE(mine.check(hello, "b").message().find("another model"), std::string::npos);
  hello = mine.hello("");
  hello.wire_version = 99;
  EXPECT_NE(mine.check(hello, "b").message().find("wire version 99"), std::string::npos);
  hello = mine.hello("");
  hello.self_test = {};
  EXPECT_NE(mine.check(hello, "b").message().find("other bits"), std::string::npos);
  hello = mine.hello("");
  ++hello.arithmetic_version;
  EXPECT_NE(mine.check(hello, "b").message().find("other bits"), std::string::npos);
  hello = mine.hello("");
  ++hello.upload_version;
  EXPECT_NE(mine.check(hello, "b").message().find("codec versions"), std::string::npos);
  hello = mine.hello("");
  ++hello.download_version;
  EXPECT_NE(mine.check(hello, "b").message().find("codec versions"), std::string::npos);
  run.seed = 2;
  hello = Handshake::of(run, table).value().hello("");
  EXPECT_NE(mine.check(hello, "b").message().find("run settings"), std::string::npos);
}

TEST(Faults, AbsentIslandPausesCommitsAndIsNamed) {
  Simulator run(quick(2));
  ASSERT_TRUE(run.run_until([&] { return run.ledger().size() == 1; }, 60));
  run.crash_island(1, true, 20);
  const size_t before = run.ledger().size();
  run.run_until([] { return false; }, 15);
  EXPECT_LE(run.ledger().size(), before + 1);
  EXPECT_TRUE(run.said("of b"));
  // The other one trains on, but not for ever (rule 12).
  EXPECT_LE(run.steps_done(0), 4 * (run.applied(0) + 3));
  EXPECT_EQ(run.run(), "");
}

TEST(Faults, OneOfThreeMayStayAway) {
  SimOptions options = quick(3);
  Simulator run(options);
  ASSERT_TRUE(run.run_until([&] { return run.ledger().size() == 1; }, 60));
  run.crash_island(2, true, 60);
  EXPECT_TRUE(run.run_until([&] { return run.ledger().size() == 5; }, 40));
  EXPECT_EQ(run.run(), "");  // it comes back and catches up
}

TEST(Faults, IslandWithoutMemoryRebuildsFromPayloads) {
  Simulator run(quick(3));
  ASSERT_TRUE(run.run_until([&] { return run.ledger().size() == 3; }, 60));
  run.crash_island(0, false, 0.2);
  EXPECT_EQ(run.run(), "");
  EXPECT_FALSE(run.said("fetches its outer state"));
}

// What was frozen or offered while no round was open, and what was merged while a peer was gone,
// goes out as soon as somebody is there for it: a kill costs the time it is down and a heartbeat or
// two, never a detection time.
void expect_no_detection_time(const std::function<void(Simulator&)>& crash) {
  const auto seconds = [&](double crash_at) {
    SimOptions options = quick(2);
    options.keep_local = true;
    options.exchange.detection_seconds = 10;  // heartbeats every two
    options.exchange.round_budget_seconds = 30;
    Simulator run(options);
    if (crash_at > 0) {
      run.run_until([] { return false; }, crash_at);
      crash(run);
    }
    EXPECT_EQ(run.run(), "") << crash_at;
    return run.now_seconds();
  };
  const double undisturbed = seconds(0);
  for (int i = 1; i <= 60; ++i) {
    const double at = undisturbed * i / 61;
    EXPECT_LT(seconds(at), undisturbed + 2.5) << at;
  }
}

TEST(Faults, RestartedCoordinatorCostsNoDetectionTime) {
  expect_no_detection_time([](Simulator& run) { run.crash_coordinator(0.3); });
}

TEST(Faults, RestartedIslandCostsNoDetectionTime) {
  expect_no_detection_time([](Simulator& run) { run.crash_island(1, true, 0.3); });
}

TEST(Faults, SilentCoordinatorLetsIslandsTrainAheadAndSaysSo) {
  Simulator run(quick(2));
  ASSERT_TRUE(run.run_until([&] { return run.ledger().size() == 2; }, 60));
  run.crash_coordinator(10);
  run.run_until([] { return false; }, 8);
  EXPECT_TRUE(run.said("no word from the coordinator"));
  EXPECT_EQ(run.run(), "");
}

}  // namespace
}  // namespace skarv::wan
