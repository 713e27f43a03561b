#include "spec/lease.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace skarv {
namespace {

using Ranges = std::vector<SampleRange>;

TEST(LeaseTest, GrantsFreshSamplesInOrder) {
  LeaseBook book;
  EXPECT_EQ(*book.grant("north", 100), (Ranges{{0, 100}}));
  EXPECT_EQ(*book.grant("south", 50), (Ranges{{100, 150}}));
  EXPECT_EQ(*book.grant("north", 0), Ranges());
  EXPECT_EQ(book.num_held("north"), 100u);
  EXPECT_EQ(book.num_held(), 150u);
  EXPECT_EQ(book.next_fresh(), 150u);
}

TEST(LeaseTest, ReleasedSamplesGoFirstAndThenFreshOnes) {
  LeaseBook book;
  ASSERT_TRUE(book.grant("north", 100).ok());
  ASSERT_TRUE(book.grant("south", 100).ok());
  ASSERT_TRUE(book.used("north", {{0, 30}, {50, 60}}).ok());
  EXPECT_EQ(book.release("north"), 60u);
  EXPECT_EQ(book.release("north"), 0u);
  EXPECT_EQ(*book.grant("south", 70), (Ranges{{30, 50}, {60, 100}, {200, 210}}));
  EXPECT_EQ(book.num_free(), 0u);
  EXPECT_EQ(book.num_used(), 40u);
}

TEST(LeaseTest, LanesShareTheDataWhoeverAsksFirst) {
  const SampleLane north{10, 0, 7}, south{10, 7, 10};
  LeaseBook book, other;
  EXPECT_EQ(*book.grant("north", 14, north), (Ranges{{0, 7}, {10, 17}}));
  EXPECT_EQ(*book.grant("south", 4, south), (Ranges{{7, 10}, {17, 18}}));
  EXPECT_EQ(*other.grant("south", 1, south), (Ranges{{7, 8}}));
  EXPECT_EQ(*other.grant("south", 3, south), (Ranges{{8, 10}, {17, 18}}));
  EXPECT_EQ(*other.grant("north", 9, north), (Ranges{{0, 7}, {10, 12}}));
  EXPECT_EQ(*other.grant("north", 5, north), (Ranges{{12, 17}}));
  EXPECT_EQ(book.held_ranges("north"), other.held_ranges("north"));
  EXPECT_EQ(book.held_ranges("south"), other.held_ranges("south"));

  // What a lane's island lost comes to it again, before anything new.
  ASSERT_TRUE(book.used("north", {{0, 7}}).ok());
  book.release("north");
  EXPECT_EQ(*book.grant("north#2", 8, north), (Ranges{{10, 17}, {20, 21}}));
  // Without lanes nothing is left behind.
  EXPECT_EQ(book.grant("all", 2)->front(), (SampleRange{18, 20}));

  const LeaseBook before = book;
  EXPECT_EQ(book.grant("x", 1, {10, 4, 4}).status().code(), Code::kInvalidArgument);
  EXPECT_EQ(book.grant("x", 1, {10, 4, 11}).status().code(), Code::kInvalidArgument);
  EXPECT_EQ(book.grant("x", ~uint64_t{0}, north).status().code(), Code::kResourceExhausted);
  EXPECT_EQ(book, before);
}

TEST(LeaseTest, RefusesWhatTheHolderDoesNotHoldAndChangesNothing) {
  LeaseBook book;
  ASSERT_TRUE(book.grant("north", 100).ok());
  ASSERT_TRUE(book.grant("south", 100).ok());
  ASSERT_TRUE(book.used("north", {{0, 10}}).ok());
  const LeaseBook before = book;
  for (const Ranges& ranges : {Ranges{{5, 15}},             // used before
                               Ranges{{90, 110}},           // partly another's
                               Ranges{{200, 201}},          // never granted
                               Ranges{{20, 30}, {25, 35}},  // listed twice
                               Ranges{{20, 30}, {150, 160}}}) {
    EXPECT_EQ(book.used("north", ranges).code(), Code::kFailedPrecondition);
    EXPECT_EQ(book.give_back("north", ranges).code(), Code::kFailedPrecondition);
  }
  EXPECT_EQ(book.used("north", {{20, 20}}).code(), Code::kInvalidArgument);
  EXPECT_EQ(book.used("west", {{20, 30}}).code(), Code::kFailedPrecondition);
  EXPECT_EQ(book.grant("", 5).status().code(), Code::kInvalidArgument);
  EXPECT_EQ(book.grant("north", ~uint64_t{0}).status().code(), Code::kResourceExhausted);
  EXPECT_EQ(book, before);
  book.release("north");
  EXPECT_EQ(book.used("north", {{20, 30}}).code(), Code::kFailedPrecondition)
      << "evicted meanwhile";
}

TEST(LeaseTest, GivesBackARefusedContribution) {
  LeaseBook book;
  ASSERT_TRUE(book.grant("north", 100).ok());
  ASSERT_TRUE(book.give_back("north", {{10, 20}}).ok());
  EXPECT_EQ(*book.grant("south", 5), (Ranges{{10, 15}}));
  EXPECT_EQ(*book.grant("south", 10), (Ranges{{15, 20}, {100, 105}}));
}

TEST(LeaseTest, ReadsBackAndRefusesDamagedBooks) {
  LeaseBook book;
  ASSERT_TRUE(book.grant("north", 100).ok());
  ASSERT_TRUE(book.grant("south", 50).ok());
  ASSERT_TRUE(book.used("south", {{100, 120}}).ok());
  ASSERT_TRUE(book.give_back("north", {{0, 10}}).ok());
  const Json good = Json::parse(book.to_json().dump());
  ASSERT_TRUE(LeaseBook::from_json(good).ok());
  EXPECT_EQ(*LeaseBook::from_json(good), book);

  const auto refused = [&](const char* key, const Json& value, const std::string& because) {
    Json bad = good;
    bad[key] = value;
    const Status status = LeaseBook::from_json(bad).status();
    EXPECT_EQ(status.code(), Code::kInvalidArgument) << because;
    EXPECT_NE(status.to_string().find(because), std::string::npos) << status;
  };
  refused("version", 2, "version 2");
  refused("uzed", Json::array(), "did you mean \"used\"?");
  refused("next_fresh", 149, "not all samples below 149");
  refused("next_fresh", 151, "not all samples below 151");
  refused("next_fresh", -1, "no sample number");
  refused("next_fresh", ~uint64_t{0}, "no sample number");
  refused("used", "all", "no list");
  refused("used", Json::array(), "not all samples");
  refused("used", Json::parse("[[100, 121]]"), "two states");
  refused("used", Json::parse("[[100, 120], [110, 120]]"), "doubled");
  refused("used", Json::parse("[[120, 100]]"), "empty");
  refused("used", Json::parse("[[100, 110, 120]]"), "no range");
  refused("used", Json::parse("[[100, -5]]"), "no range");
  refused("held", Json::array(), "no object");
  refused("held", Json::parse(R"({"north": []})"), "empty entry");
  Json lacking = good;
  lacking.erase("free");
  EXPECT_FALSE(LeaseBook::from_json(lacking).ok());
  EXPECT_FALSE(LeaseBook::from_json(Json(3)).ok());
}

// A book beside the plainest model of it: for each sample its state.
TEST(LeaseTest, RandomOperationsKeepEachSampleInOneState) {
  for (int seed = 0; seed < 40; ++seed) {
    std::mt19937_64 random(seed);
    const auto below = [&](uint64_t bound) { return random() % bound; };
    const std::vector<std::string> holders = {"north", "south", "west"};
    LeaseBook book;
    std::vector<std::string> state;  // "", a holder, or "used"
    for (int step = 0; step < 300; ++step) {
      const std::string& holder = holders[below(holders.size())];
      switch (below(5)) {
        case 0:
        case 1: {
          const uint64_t count = below(40);
          const auto granted = book.grant(holder, count);
          ASSERT_TRUE(granted.ok());
          uint64_t num_granted = 0;
          bool was_fresh = false;
          for (SampleRange range : *granted) {
            for (uint64_t i = range.begin; i < range.end; ++i, ++num_granted) {
              if (i >= state.size()) {
                ASSERT_EQ(i, state.size()) << "fresh samples have no gaps";
                state.emplace_back();
                was_fresh = true;
              }
              ASSERT_EQ(state[i], "") << "sample " << i << " is granted twice";
              state[i] = holder;
            }
          }
          ASSERT_EQ(num_granted, count);
          if (was_fresh) {
            ASSERT_EQ(book.num_free(), 0u) << "free ones go first";
          }
          break;
        }
        case 2:
        case 3: {
          // A random range, of which the holder may or may not hold all.
          const uint64_t begin = below(state.size() + 2), end = begin + 1 + below(10);
          bool holds_all = true;
          for (uint64_t i = begin; i < end; ++i) {
            holds_all = holds_all && i < state.size() && state[i] == holder;
          }
          const bool is_use = below(3) > 0;
          const Status status =
              is_use ? book.used(holder, {{begin, end}}) : book.give_back(holder, {{begin, end}});
          ASSERT_EQ(status.ok(), holds_all) << status;
          if (holds_all) {
            for (uint64_t i = begin; i < end; ++i) state[i] = is_use ? "used" : "";
          }
          break;
        }
        default:
          if (below(4) == 0) {
            book.release(holder);
            for (std::string& owner : state) {
              if (owner == holder) owner.clear();
            }
          }
      }
      const auto count = [&](const std::string& name) {
        return static_cast<uint64_t>(std::count(state.begin(), state.end(), name));
      };
      ASSERT_TRUE(book.check().ok()) << book.check();
      ASSERT_EQ(book.next_fresh(), state.size());
      ASSERT_EQ(book.num_used(), count("used"));
      ASSERT_EQ(book.num_free(), count(""));
      for (const std::string& name : holders) ASSERT_EQ(book.num_held(name), count(name));
      if (step % 50 == 0) {
        const auto again = LeaseBook::from_json(Json::parse(book.to_json().dump()));
        ASSERT_TRUE(again.ok()) << again.status();
        ASSERT_EQ(*again, book);
      }
    }
  }
}

}  // namespace
}  // namespace skarv
