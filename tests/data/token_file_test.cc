#include "data/token_file.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <numeric>

#include "base/file.h"
#include "data/sample_index.h"
#include "data/support.h"
#include "data/token_writer.h"

namespace skarv {
namespace {

using Documents = std::vector<std::vector<int32_t>>;

Digest write_tokens(const std::filesystem::path& prefix, const Documents& documents,
                    int32_t vocabulary_size) {
  auto writer = TokenWriter::create(prefix, vocabulary_size);
  EXPECT_TRUE(writer.ok()) << writer.status();
  for (const auto& document : documents) EXPECT_TRUE((*writer)->add(document).ok());
  const auto digest = (*writer)->finish();
  EXPECT_TRUE(digest.ok()) << digest.status();
  return *digest;
}

// One document with the ids 0, 1, 2, ...
TokenFile counting_file(const CorpusFolder& folder, int32_t num_tokens) {
  std::vector<int32_t> ids(static_cast<size_t>(num_tokens));
  std::iota(ids.begin(), ids.end(), 0);
  write_tokens(folder / "counting", {ids}, 1 << 20);
  return *TokenFile::open(folder / "counting");
}

TEST(TokenFileTest, ReadsWhatWasWritten) {
  const CorpusFolder folder;
  Random random(1);
  for (const int32_t vocabulary_size : {1000, 65499, 65500, 200000}) {
    Documents documents;
    std::vector<int32_t> row;
    for (int i = 0; i < 50; ++i) {
      std::vector<int32_t> ids(below(random, i == 7 ? 400000 : 100));
      for (int32_t& id : ids) id = static_cast<int32_t>(below(random, vocabulary_size));
      row.insert(row.end(), ids.begin(), ids.end());
      documents.push_back(std::move(ids));
    }
    const Digest digest = write_tokens(folder / "t", documents, vocabulary_size);
    EXPECT_EQ(digest, digest_of(*read_file(bin_path(folder / "t"))));
    const auto file = TokenFile::open(folder / "t");
    ASSERT_TRUE(file.ok()) << file.status();
    EXPECT_EQ(file->token_bytes(), vocabulary_size < 65500 ? 2 : 4);
    EXPECT_EQ(file->num_documents(), documents.size());
    ASSERT_EQ(file->num_tokens(), row.size());
    std::vector<int32_t> read(row.size());
    file->read(0, read);
    EXPECT_EQ(read, row);
    read.resize(10);
    file->read(row.size() - 10, read);
    EXPECT_TRUE(std::equal(read.begin(), read.end(), row.end() - 10));
    EXPECT_TRUE(file->check_ids(vocabulary_size).ok());
    const Status outside = file->check_ids(*std::max_element(row.begin(), row.end()));
    EXPECT_EQ(outside.code(), Code::kDataLoss);
    EXPECT_EQ(outside.origin(), bin_path(folder / "t").string());
    const auto counts = file->count_ids(vocabulary_size);
    EXPECT_EQ(std::accumulate(counts.begin(), counts.end(), uint64_t{0}), row.size());
  }
}

TEST(TokenFileTest, AnUnfinishedWriterLeavesTheOldFile) {
  const CorpusFolder folder;
  write_tokens(folder / "t", {{1, 2, 3}}, 100);
  {
    auto writer = TokenWriter::create(folder / "t", 100);
    ASSERT_TRUE((*writer)->add(std::vector<int32_t>{9}).ok());
  }
  EXPECT_EQ(TokenFile::open(folder / "t")->num_tokens(), 3u);
  EXPECT_FALSE(std::filesystem::exists(folder / "t.bin.tmp"));
}

TEST(TokenFileTest, EmptyFilesAreFiles) {
  const CorpusFolder folder;
  write_tokens(folder / "t", {}, 100);
  EXPECT_EQ(TokenFile::open(folder / "t")->num_tokens(), 0u);
  EXPECT_EQ(SampleIndex::create(*TokenFile::open(folder / "t"), 1, 4).status().code(),
            Code::kInvalidArgument);
}

class DamagedTokenFileTest : public testing::Test {
 protected:
  void SetUp() override {
    write_tokens(folder_ / "t", {{1, 2, 3, 0}, {4, 0}}, 100);
    idx_ = *read_file(folder_ / "t.idx");
    bin_ = *read_file(folder_ / "t.bin");
  }
  // What opening says after `idx` was put in place of the index.
  Status opened_with(const std::string& idx) {
    folder_.write("t.idx", idx);
    return TokenFile::open(folder_ / "t").status();
  }
  template <typename Number>
  std::string changed(size_t offset, Number value) {
    std::string idx = idx_;
    std::memcpy(idx.data() + offset, &value, sizeof value);
    return idx;
  }
  void expect_loss(const std::string& idx, const std::string& because) {
    const Status status = opened_with(idx);
    EXPECT_EQ(status.code(), Code::kDataLoss) << because;
    EXPECT_EQ(status.origin(), (folder_ / "t.idx").string());
    EXPECT_NE(status.message().find(because), std::string::npos) << status;
  }
  CorpusFolder folder_;
  std::string idx_, bin_;
};

TEST_F(DamagedTokenFileTest, IsRefusedWithTheCause) {
  ASSERT_TRUE(opened_with(idx_).ok());
  expect_loss(changed(0, 'X'), "does not begin with MMIDIDX");
  expect_loss(changed<uint64_t>(9, 2), "version 2");
  expect_loss(changed<uint64_t>(18, 3), "do not fit 3 sequences");
  expect_loss(changed<uint64_t>(18, ~uint64_t{0}), "do not fit");
  expect_loss(changed<uint64_t>(26, uint64_t{1} << 61), "do not fit");
  expect_loss(changed<int32_t>(34, -4), "length -4");
  expect_loss(changed<int32_t>(34, 5), "begins at byte 8 instead of 10");
  expect_loss(changed<int32_t>(38, 3), "describes 14 bytes");
  expect_loss(changed<int64_t>(42, 2), "begins at byte 2");
  expect_loss(changed<int64_t>(42, -2), "begins at byte -2");
  expect_loss(changed<int64_t>(58, 1), "document border 0");
  expect_loss(changed<int64_t>(66, 3), "document border 2");
  expect_loss(changed<int64_t>(74, 1), "end at sequence 1 of 2");
  expect_loss(changed<int64_t>(74, 3), "end at sequence 3 of 2");
  expect_loss("", "less than its header");
  const Status type = opened_with(changed<uint8_t>(17, 6));
  EXPECT_EQ(type.code(), Code::kInvalidArgument);
  EXPECT_NE(type.message().find("type 6"), std::string::npos);
  const Status wide = opened_with(changed<uint8_t>(17, 4));
  EXPECT_EQ(wide.code(), Code::kDataLoss);
}

TEST_F(DamagedTokenFileTest, EveryTruncationIsNoticed) {
  for (size_t size = 0; size < idx_.size(); ++size) {
    EXPECT_EQ(opened_with(idx_.substr(0, size)).code(), Code::kDataLoss) << size;
  }
  folder_.write("t.idx", idx_);
  for (size_t size = 0; size < bin_.size(); ++size) {
    folder_.write("t.bin", bin_.substr(0, size));
    EXPECT_EQ(TokenFile::open(folder_ / "t").status().code(), Code::kDataLoss) << size;
  }
  folder_.write("t.bin", bin_ + "xx");
  EXPECT_EQ(TokenFile::open(folder_ / "t").status().code(), Code::kDataLoss);
}

TEST_F(DamagedTokenFileTest, RandomDamageIsNoticedOrHarmless) {
  Random random(2);
  for (int i = 0; i < 400; ++i) {
    std::string idx = idx_;
    for (uint32_t changes = 1 + below(random, 4); changes > 0; --changes) {
      idx[below(random, static_cast<uint32_t>(idx.size()))] = static_cast<char>(random());
    }
    folder_.write("t.idx", idx);
    const auto file = TokenFile::open(folder_ / "t");
    if (file.ok()) {
      EXPECT_EQ(file->num_tokens() * static_cast<uint64_t>(file->token_bytes()), bin_.size());
    }
  }
}

TEST_F(DamagedTokenFileTest, MissingFilesAreNamed) {
  EXPECT_EQ(TokenFile::open(folder_ / "absent").status().origin(),
            (folder_ / "absent.bin").string());
  std::filesystem::remove(folder_ / "t.idx");
  const Status status = TokenFile::open(folder_ / "t").status();
  EXPECT_EQ(status.code(), Code::kNotFound);
  EXPECT_EQ(status.origin(), (folder_ / "t.idx").string());
}

TEST(PermutationTest, IsOneForEverySize) {
  for (uint64_t size = 1; size <= 300; ++size) {
    for (uint64_t key = 0; key < 3; ++key) {
      const Permutation permutation(key, size);
      std::vector<bool> seen(size, false);
      for (uint64_t i = 0; i < size; ++i) {
        const uint64_t image = permutation.at(i);
        ASSERT_LT(image, size);
        ASSERT_FALSE(seen[image]);
        seen[image] = true;
      }
    }
  }
}

TEST(PermutationTest, ShufflesAndDependsOnTheKey) {
  constexpr uint64_t kSize = 20000;
  const Permutation one(1, kSize), two(2, kSize);
  int num_fixed = 0, num_equal = 0, num_neighbours = 0;
  double displacement = 0;
  for (uint64_t i = 0; i < kSize; ++i) {
    num_fixed += one.at(i) == i;
    num_equal += one.at(i) == two.at(i);
    num_neighbours += i > 0 && one.at(i) == one.at(i - 1) + 1;
    displacement += std::abs(static_cast<double>(one.at(i)) - static_cast<double>(i));
  }
  // Of a random permutation each is about 1; a third of the size on average between i and its
  // image.
  EXPECT_LT(num_fixed, 10);
  EXPECT_LT(num_equal, 10);
  EXPECT_LT(num_neighbours, 10);
  EXPECT_NEAR(displacement / kSize / kSize, 1.0 / 3, 0.01);
  EXPECT_LT(Permutation(3, uint64_t{1} << 62).at(12345), uint64_t{1} << 62);
}

TEST(SampleIndexTest, EachEpochVisitsEachSampleOnceInItsOwnOrder) {
  const CorpusFolder folder;
  for (const auto& [num_tokens, sequence] : std::vector<std::pair<int32_t, int64_t>>{
           {10001, 16}, {17, 16}, {1000, 7}, {2, 1}, {4098, 4096}}) {
    const TokenFile file = counting_file(folder, num_tokens);
    const auto index = SampleIndex::create(file, 42, sequence);
    ASSERT_TRUE(index.ok()) << index.status();
    const uint64_t size = index->num_samples_per_epoch();
    EXPECT_EQ(size, static_cast<uint64_t>((num_tokens - 1) / sequence));
    std::vector<std::vector<int32_t>> orders;
    for (uint64_t epoch = 0; epoch < 3; ++epoch) {
      std::vector<bool> seen(size, false);
      orders.emplace_back();
      for (uint64_t i = 0; i < size; ++i) {
        std::vector<int32_t> tokens(static_cast<size_t>(sequence) + 1);
        index->sample(epoch * size + i, tokens);
        for (size_t j = 1; j < tokens.size(); ++j) ASSERT_EQ(tokens[j], tokens[0] + int32_t(j));
        ASSERT_EQ(tokens[0] % sequence, 0);
        const auto which = static_cast<size_t>(tokens[0] / sequence);
        ASSERT_FALSE(seen[which]) << "sample " << which << " twice in epoch " << epoch;
        seen[which] = true;
        orders.back().push_back(tokens[0]);
      }
    }
    if (size > 20) {
      EXPECT_NE(orders[0], orders[1]);
      EXPECT_NE(orders[1], orders[2]);
      EXPECT_FALSE(std::is_sorted(orders[0].begin(), orders[0].end()));
    }
  }
}

TEST(SampleIndexTest, DependsOnTheSeedAndNothingElse) {
  const CorpusFolder folder;
  const TokenFile file = counting_file(folder, 5000);
  const auto one = SampleIndex::create(file, 1, 8), again = SampleIndex::create(file, 1, 8),
             two = SampleIndex::create(file, 2, 8);
  int num_equal = 0;
  for (uint64_t counter : {0, 7, 600, 100000}) {
    EXPECT_EQ(one->first_token(counter), again->first_token(counter));
    num_equal += one->first_token(counter) == two->first_token(counter);
  }
  EXPECT_LT(num_equal, 2);
  // Fixed for ever: a change here would give every resumed run other samples.
  EXPECT_EQ(one->first_token(0), 800u);
  EXPECT_EQ(one->first_token(1), 1792u);
  EXPECT_EQ(one->first_token(100000), 2072u);
}

TEST(SampleIndexTest, RefusesTooFewTokens) {
  const CorpusFolder folder;
  const TokenFile file = counting_file(folder, 16);
  EXPECT_TRUE(SampleIndex::create(file, 1, 15).ok());
  for (const int64_t sequence : {int64_t{16}, int64_t{0}, int64_t{-3}, int64_t{1} << 62}) {
    EXPECT_EQ(SampleIndex::create(file, 1, sequence).status().code(), Code::kInvalidArgument);
  }
}

}  // namespace
}  // namespace skarv
