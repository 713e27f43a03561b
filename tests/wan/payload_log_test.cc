#include "wan/payload_log.h"

#include <gtest/gtest.h>

#include <fstream>
#include <string>

#include "base/file.h"
#include "support/temporary_folder.h"
#include "wan/payload.h"

namespace skarv {
namespace {

class PayloadLogTest : public testing::Test {
 protected:
  TemporaryFolder folder_;
  const Digest run_ = digest_of("run");

  PayloadLog open(int64_t segment_bytes = 1 << 20) {
    auto log = PayloadLog::open(folder_.path(), run_, segment_bytes);
    EXPECT_TRUE(log.ok()) << log.status();
    return std::move(log).value();
  }
  static std::vector<std::byte> payload(int slab, int64_t round, size_t size = 300) {
    return std::vector<std::byte>(size, static_cast<std::byte>(slab * 16 + round));
  }
  static Digest leaf(int slab, int64_t round, size_t size = 300) {
    return payload_leaf(PayloadKind::kMerged, slab, round, payload(slab, round, size));
  }
  static void add(PayloadLog& log, int slab, int64_t round) {
    const Status status = log.append(slab, round, leaf(slab, round), payload(slab, round));
    ASSERT_TRUE(status.ok()) << status;
  }
  size_t num_files() const {
    size_t count = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder_.path())) {
      ++count;
    }
    return count;
  }
};

TEST_F(PayloadLogTest, ReplaysWhatWasWritten) {
  {
    PayloadLog log = open();
    for (int64_t round = 1; round <= 3; ++round) {
      for (int slab = 0; slab < 4; ++slab) add(log, slab, round);
    }
    add(log, 0, 1);  // again: written once
    ASSERT_TRUE(log.sync().ok());
  }
  const PayloadLog log = open();
  EXPECT_EQ(log.entries().size(), 12u);
  EXPECT_EQ(log.num_torn_bytes(), 0);
  for (const PayloadEntry& entry : log.entries()) {
    const auto bytes = log.read(entry.slab, entry.round, entry.leaf);
    ASSERT_TRUE(bytes.ok()) << bytes.status();
    EXPECT_EQ(*bytes, payload(entry.slab, entry.round));
  }
  EXPECT_EQ(log.read(0, 9, leaf(0, 9)).status().code(), Code::kNotFound);
}

TEST_F(PayloadLogTest, LaterAttemptStandsBesideTheFirst) {
  PayloadLog log = open();
  add(log, 0, 1);
  ASSERT_TRUE(log.append(0, 1, leaf(0, 1, 77), payload(0, 1, 77)).ok());
  EXPECT_EQ(log.read(0, 1, leaf(0, 1))->size(), 300u);
  EXPECT_EQ(log.read(0, 1, leaf(0, 1, 77))->size(), 77u);
}

TEST_F(PayloadLogTest, TornTail) {
  {
    PayloadLog log = open();
    add(log, 0, 1);
    add(log, 1, 1);
  }
  const auto path = folder_ / "payloads-00000000.log";
  const std::string whole = *read_file(path);
  const size_t one_end = whole.size() - 364;
  for (size_t length = 0; length < whole.size(); length += 41) {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << whole.substr(0, length);
    PayloadLog log = open();
    ASSERT_EQ(log.entries().size(), length >= one_end ? 1u : 0u) << length;
    add(log, 2, 1);
    const PayloadLog again = open();
    ASSERT_TRUE(again.has(2, 1, leaf(2, 1)));
    ASSERT_EQ(again.num_torn_bytes(), 0);
  }
}

TEST_F(PayloadLogTest, ChangedBytesAreFound) {
  {
    PayloadLog log = open();
    add(log, 0, 1);
    add(log, 1, 1);
  }
  const auto path = folder_ / "payloads-00000000.log";
  std::string whole = *read_file(path);
  whole[40 + 64 + 100] ^= 1;  // in the first payload
  std::ofstream(path, std::ios::binary | std::ios::trunc) << whole;
  const PayloadLog log = open();
  const Status status = log.read(0, 1, leaf(0, 1)).status();
  EXPECT_EQ(status.code(), Code::kDataLoss);
  EXPECT_NE(status.message().find("round 1 to slab 0"), std::string::npos) << status;
  EXPECT_TRUE(log.read(1, 1, leaf(1, 1)).ok());
}

TEST_F(PayloadLogTest, AnotherRunIsRefused) {
  { PayloadLog log = open(); }
  EXPECT_EQ(PayloadLog::open(folder_.path(), digest_of("other")).status().code(),
            Code::kFailedPrecondition);
}

TEST_F(PayloadLogTest, PruneDeletesWholeSegmentsOnly) {
  PayloadLog log = open(500);  // two records a segment
  for (int64_t round = 1; round <= 6; ++round) add(log, 0, round);
  EXPECT_EQ(num_files(), 3u);
  const int64_t before = log.num_bytes();
  ASSERT_TRUE(log.prune(4).ok());
  EXPECT_EQ(num_files(), 2u);
  EXPECT_LT(log.num_bytes(), before);
  EXPECT_FALSE(log.has(0, 2, leaf(0, 2)));
  EXPECT_TRUE(log.has(0, 3, leaf(0, 3))) << "shares a segment with round 4";
  ASSERT_TRUE(log.prune(100).ok());
  EXPECT_TRUE(log.entries().empty());
  add(log, 0, 100);
  const PayloadLog again = open(500);
  ASSERT_EQ(again.entries().size(), 1u);
  EXPECT_TRUE(again.read(0, 100, leaf(0, 100)).ok());
}

TEST_F(PayloadLogTest, FullDiskLosesNothing) {
  PayloadLog log = open();
  add(log, 0, 1);
  Status status;
  {
    FullDisk disk(static_cast<rlim_t>(log.num_bytes()) + 100);
    status = log.append(1, 1, leaf(1, 1), payload(1, 1));
  }
  EXPECT_EQ(status.code(), Code::kResourceExhausted) << status;
  EXPECT_FALSE(log.has(1, 1, leaf(1, 1)));
  EXPECT_TRUE(log.read(0, 1, leaf(0, 1)).ok());
  add(log, 1, 1);  // room again
  const PayloadLog again = open();
  EXPECT_EQ(again.entries().size(), 2u);
  EXPECT_EQ(again.num_torn_bytes(), 0);
}

}  // namespace
}  // namespace skarv
