#include "wan/round/message_codec.h"

#include <gtest/gtest.h>

#include <random>

#include "wan/round/coordinator_round.h"
#include "wan/round/placement.h"
#include "wan/round/timers.h"

namespace skarv::wan {
namespace {

Record sample_record() {
  Record record;
  record.round = 7;
  record.term = {3, 1};
  record.attempt = 2;
  record.fragment = 1;
  record.scalars = arithmetic::AdamScalars{1, 2, 3, 4, 5, 6, 7, 8, 9, 0xffffffffu};
  record.payload_root = digest_of(std::string_view("payload"));
  RecordEntry entry;
  entry.contribution = {"north", 2,  digest_of(std::string_view("root")),
                        4096,    30, {{0, 8}, {9, 12}}};
  entry.weight = 0x3f800000u;
  entry.verdict = Verdict::kClipped;
  record.delivered = {entry};
  return record;
}

std::vector<Message> samples() {
  const Fence fence{0x8000000000000001ull, {3, 1}, 7, 2};
  const Digest digest = digest_of(std::string_view("x"));
  const net::Buffer bytes = net::Buffer::take(std::string("payload bytes"));
  const View view{1, {{"north", 2.5}, {"south", 1}}};
  Promised promised{6, digest, sample_record(), true, view, 4};
  Offer offer{false, sample_record().delivered[0].contribution, 6, digest, digest};
  Have have{"north", {{3, digest, 1.5, true}, {4, digest, 0, false}}};
  IslandBeat beat;
  beat.applied = 6;
  beat.missing_from = {"south"};
  CoordinatorBeat pulse;
  pulse.awaits = kAwaitsHave;
  pulse.awaited = {"south"};
  pulse.doubtful = {"north"};
  return {{fence, Hello{1, digest, digest, digest, 1, 2, 3, "host:7000"}},
          {fence, Refused{"because"}},
          {fence, Promise{view}},
          {fence, promised},
          {fence, Peers{{{"north", "a:1"}, {"south", ""}}}},
          {fence, Open{1, 1, {"north", "south"}}},
          {fence, offer},
          {fence, Contrib{3, 0, digest, bytes}},
          {fence, have},
          {fence, Close{sample_record().delivered, {"north"}}},
          {fence, Merged{3, 0, digest, bytes}},
          {fence, MergedFacts{have.slabs, digest}},
          {fence, Accept{sample_record(), {digest, digest}}},
          {fence, Accepted{digest}},
          {fence, Commit{sample_record(), 5}},
          {fence, Applied{digest, digest}},
          {fence, Fenced{{4, 1}, true, "older"}},
          {fence, Fetch{FetchKind::kState, 3, digest}},
          {fence, Fetched{FetchKind::kPayload, 3, false, digest, 5, 6, bytes}},
          {fence, beat},
          {fence, pulse},
          {fence, LeaseRequest{9, 4, 64}},
          {fence, Lease{9, 4, {{0, 64}}}}};
}

TEST(MessageCodec, EveryMessageComesBackAsItWas) {
  const std::vector<Message> all = samples();
  ASSERT_EQ(all.size(), std::variant_size_v<Body>);
  for (size_t i = 0; i < all.size(); ++i) {
    EXPECT_EQ(all[i].body.index(), i);
    const net::Message bytes = encode(all[i]);
    const Result<Message> back = decode(bytes, "peer");
    ASSERT_TRUE(back.ok()) << name_of(all[i].body) << ": " << back.status();
    EXPECT_EQ(back->fence, all[i].fence);
    const net::Message again = encode(*back);
    EXPECT_EQ(again.head, bytes.head) << name_of(all[i].body);
    EXPECT_EQ(again.body.text(), bytes.body.text()) << name_of(all[i].body);
  }
}

// Any byte of a head changed, any length of a body: an answer, never a crash.
TEST(MessageCodec, DamagedMessagesAreRefusedOrHarmless) {
  std::mt19937 random(1);
  int num_refused = 0;
  for (const Message& message : samples()) {
    const net::Message bytes = encode(message);
    for (int i = 0; i < 300; ++i) {
      net::Message damaged = bytes;
      damaged.head[random() % damaged.head.size()] = static_cast<char>(random());
      if (i % 3 == 0) damaged.head.resize(random() % damaged.head.size());
      if (i % 5 == 0) damaged.body = net::Buffer::take(std::string(random() % 100, 'x'));
      if (i % 7 == 0) damaged.type = random() % 30;
      const Result<Message> back = decode(damaged, "peer");
      if (back.ok()) continue;
      ++num_refused;
      EXPECT_EQ(back.status().code(), Code::kInvalidArgument);
    }
  }
  EXPECT_GT(num_refused, 1000);
}

TEST(MessageCodec, NumbersOutOfRangeAreNamed) {
  net::Message bytes = encode({{1, {1, 1}, 1, 1}, Fetch{FetchKind::kState, 3, {}}});
  const size_t at = bytes.head.find("\"slab\":3");
  bytes.head.replace(at, 8, "\"slab\":-3");
  const Result<Message> back = decode(bytes, "south");
  ASSERT_FALSE(back.ok());
  EXPECT_NE(back.status().message().find("slab"), std::string::npos);
  EXPECT_EQ(back.status().origin(), "south");
}

TEST(Record, TextFormIsStableAndChained) {
  const Record record = sample_record();
  const Result<Record> back = record_from_json(to_json(record), "test");
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(*back, record);
  EXPECT_EQ(digest_of(*back), digest_of(record));
  Record other = record;
  other.previous_chain = digest_of(std::string_view("y"));
  EXPECT_NE(chain_after(other), chain_after(record));
}

TEST(Placement, FollowsUplinksAndMovesLittle) {
  const View view{1, {{"a", 1}, {"b", 3}, {"c", 4}}};
  std::map<std::string, int> count;
  int num_moved = 0;
  for (int slab = 0; slab < 8000; ++slab) {
    const std::string before = merger_of(slab, view, {"a", "b", "c"});
    const std::string after = merger_of(slab, view, {"a", "c"});
    ++count[before];
    num_moved += before != "b" && before != after;
  }
  EXPECT_EQ(num_moved, 0);
  EXPECT_NEAR(count["a"], 1000, 150);
  EXPECT_NEAR(count["b"], 3000, 200);
  EXPECT_NEAR(count["c"], 4000, 200);
  EXPECT_EQ(merger_of(1, view, {}), "");
}

TEST(Timers, ComeFromTwoNumbersAndAreOrdered) {
  ExchangeSettings settings;
  const Result<Timers> timers = Timers::from(settings);
  ASSERT_TRUE(timers.ok());
  EXPECT_LT(timers->beat, timers->silent);
  EXPECT_LE(timers->silent, timers->progress);
  EXPECT_LE(timers->progress, timers->stall);
  EXPECT_LE(timers->stall, timers->budget);
  EXPECT_NE(timers->to_string().find("heartbeat every 1"), std::string::npos);
  settings.round_budget_seconds = settings.detection_seconds;
  EXPECT_FALSE(Timers::from(settings).ok());
}

TEST(View, QuorumsOverlap) {
  for (int m = 1; m < 9; ++m) {
    EXPECT_GT(quorum_of(m, 2) + m / 2 + 1, m);
    EXPECT_LE(quorum_of(m, 2), m);
  }
}

}  // namespace
}  // namespace skarv::wan
