#include "wan/record_log.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <string>

#include "base/file.h"
#include "support/temporary_folder.h"

namespace skarv {
namespace {

void write(const std::filesystem::path& path, const std::string& text) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << text;
}

class RecordLogTest : public testing::Test {
 protected:
  TemporaryFolder folder_;
  const std::filesystem::path path_ = folder_ / "lead.log";

  Digest fill(int num_records) {
    auto log = RecordLog::open(path_, "run-1");
    EXPECT_TRUE(log.ok()) << log.status();
    for (int i = 0; i < num_records; ++i) {
      EXPECT_TRUE(log->append(Json{{"kind", "promise"}, {"epoch", i}}).ok());
    }
    EXPECT_TRUE(log->sync().ok());
    return log->chain();
  }
};

TEST_F(RecordLogTest, GivesBackWhatWasWritten) {
  const Digest chain = fill(5);
  auto log = RecordLog::open(path_, "run-1");
  ASSERT_TRUE(log.ok()) << log.status();
  ASSERT_EQ(log->records().size(), 5u);
  EXPECT_EQ(log->records()[3]["epoch"], 3);
  EXPECT_EQ(log->chain(), chain);
  EXPECT_EQ(log->num_torn_bytes(), 0);
}

// Whatever prefix of the file the disk has: the whole lines of it are there, the rest is cut, and
// the log can be continued.
TEST_F(RecordLogTest, TornTailIsCut) {
  fill(3);
  const std::string whole = *read_file(path_);
  for (size_t length = 0; length <= whole.size(); length += 9) {
    write(path_, whole.substr(0, length));
    auto log = RecordLog::open(path_, "run-1");
    ASSERT_TRUE(log.ok()) << length << ": " << log.status();
    const auto num_lines = std::count(whole.begin(), whole.begin() + length, '\n');
    ASSERT_EQ(static_cast<long>(log->records().size()), num_lines);
    ASSERT_TRUE(log->append(Json{{"more", 1}}).ok());
    log = RecordLog::open(path_, "run-1");
    ASSERT_TRUE(log.ok()) << length << ": " << log.status();
    ASSERT_EQ(static_cast<long>(log->records().size()), num_lines + 1);
  }
}

TEST_F(RecordLogTest, ChangedBytesAreRefused) {
  fill(3);
  const std::string whole = *read_file(path_);
  for (size_t i = 0; i < whole.size(); i += i < 80 ? 7 : 11) {
    std::string changed = whole;
    changed[i] = static_cast<char>(changed[i] ^ 1);
    write(path_, changed);
    const auto log = RecordLog::open(path_, "run-1");
    ASSERT_FALSE(log.ok()) << "byte " << i;
    ASSERT_NE(log.status().origin().find("lead.log:"), std::string::npos) << log.status();
    ASSERT_FALSE(log.status().hint().empty());
  }
}

TEST_F(RecordLogTest, MissingLineIsRefused) {
  fill(3);
  std::string text = *read_file(path_);
  const size_t first = text.find('\n') + 1, second = text.find('\n', first) + 1;
  write(path_, text.substr(0, first) + text.substr(second));
  EXPECT_EQ(RecordLog::open(path_, "run-1").status().code(), Code::kDataLoss);
}

TEST_F(RecordLogTest, AnotherRunIsRefused) {
  fill(1);
  EXPECT_EQ(RecordLog::open(path_, "run-2").status().code(), Code::kFailedPrecondition);
}

TEST_F(RecordLogTest, FullDiskLosesNothing) {
  fill(3);
  auto log = RecordLog::open(path_, "run-1");
  ASSERT_TRUE(log.ok());
  const Digest chain = log->chain();
  Status status;
  {
    FullDisk disk(std::filesystem::file_size(path_) + 10);
    status = log->append(Json{{"kind", "accept"}, {"text", std::string(200, 'x')}});
  }
  EXPECT_EQ(status.code(), Code::kResourceExhausted) << status;
  EXPECT_NE(status.origin().find("lead.log"), std::string::npos);
  EXPECT_EQ(log->chain(), chain);
  EXPECT_TRUE(log->append(Json{{"kind", "accept"}}).ok()) << "once there is room again";
  auto again = RecordLog::open(path_, "run-1");
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->records().size(), 4u);
  EXPECT_EQ(again->num_torn_bytes(), 0);
}

}  // namespace
}  // namespace skarv
