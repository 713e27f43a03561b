#include "data/prepare.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/wait.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>

#include "base/file.h"
#include "data/support.h"
#include "data/token_file.h"
#include "data/tokenizer.h"

namespace skarv {
namespace {

class PrepareTest : public testing::Test {
 protected:
  void SetUp() override {
    Random random(1);
    for (int i = 0; i < 120; ++i) {
      texts_.push_back(code_like_text(random, 30));
      folder_.write("corpus/f" + std::to_string(i) + ".py", texts_.back());
    }
    options_.corpus.path = folder_ / "corpus";
    options_.corpus.extensions = {".py"};
    options_.output = folder_ / "out";
    options_.vocabulary_size = 400;
    options_.validation_fraction = 0.1;
  }
  CorpusFolder folder_;
  std::vector<std::string> texts_;
  DataOptions options_;
};

TEST_F(PrepareTest, EveryDocumentIsOnOneSideAndReadsBack) {
  const auto report = prepare_data(options_);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_FALSE(report->was_done);
  EXPECT_EQ(report->num_files, 120u);
  EXPECT_EQ(report->train.num_documents + report->validation.num_documents, 120u);
  EXPECT_GT(report->validation.num_documents, 2u);
  EXPECT_LT(report->validation.num_documents, 30u);

  const auto tokenizer = Tokenizer::load(options_.output / "tokenizer.json");
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  EXPECT_EQ(tokenizer->digest(), report->tokenizer);
  EXPECT_EQ(tokenizer->vocabulary_size(), report->vocabulary_size);
  std::vector<std::string> read;
  for (const char* side : {"train", "validation"}) {
    const auto file = TokenFile::open(options_.output / side);
    ASSERT_TRUE(file.ok()) << file.status();
    std::vector<int32_t> ids(file->num_tokens());
    file->read(0, ids);
    EXPECT_EQ(ids.back(), tokenizer->end_of_text());
    auto begin = ids.begin();
    for (auto end = ids.begin(); end != ids.end(); ++end) {
      if (*end != tokenizer->end_of_text()) continue;
      read.push_back(*tokenizer->decode(std::vector<int32_t>(begin, end)));
      begin = end + 1;
    }
  }
  std::sort(read.begin(), read.end());
  std::vector<std::string> expected = texts_;
  std::sort(expected.begin(), expected.end());
  EXPECT_EQ(read, expected);
}

TEST_F(PrepareTest, UnigramBaselineIsWhatItSays) {
  const auto report = prepare_data(options_);
  ASSERT_TRUE(report.ok()) << report.status();
  std::map<int32_t, double> train;
  std::vector<int32_t> ids(report->train.num_tokens);
  TokenFile::open(options_.output / "train")->read(0, ids);
  for (int32_t id : ids) ++train[id];
  ids.resize(report->validation.num_tokens);
  TokenFile::open(options_.output / "validation")->read(0, ids);
  double sum = 0;
  for (int32_t id : ids) {
    sum -= std::log((train[id] + 1) /
                    (static_cast<double>(report->train.num_tokens) + report->vocabulary_size));
  }
  EXPECT_NEAR(report->unigram_nats, sum / static_cast<double>(ids.size()), 1e-9);
  EXPECT_GT(report->unigram_nats, 1);
  EXPECT_LT(report->unigram_nats, std::log(report->vocabulary_size));
}

TEST_F(PrepareTest, SecondTimeDoesNothing) {
  const auto first = prepare_data(options_);
  ASSERT_TRUE(first.ok()) << first.status();
  const auto written = std::filesystem::last_write_time(options_.output / "train.bin");
  const auto second = prepare_data(options_);
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_TRUE(second->was_done);
  EXPECT_EQ(second->to_json(), first->to_json());
  EXPECT_EQ(std::filesystem::last_write_time(options_.output / "train.bin"), written);
}

TEST_F(PrepareTest, ChangesAndDamageMakeItBeginAgain) {
  const auto first = prepare_data(options_);
  ASSERT_TRUE(first.ok()) << first.status();
  DataOptions other = options_;
  other.vocabulary_size = 300;
  EXPECT_FALSE(prepare_data(other)->was_done);
  EXPECT_EQ(Tokenizer::load(options_.output / "tokenizer.json")->vocabulary_size(), 300);
  EXPECT_FALSE(prepare_data(options_)->was_done);
  folder_.write("corpus/new.py", "print('new')\n");
  EXPECT_FALSE(prepare_data(options_)->was_done);
  EXPECT_TRUE(prepare_data(options_)->was_done);
  std::filesystem::resize_file(options_.output / "train.bin", 100);
  EXPECT_FALSE(prepare_data(options_)->was_done);
  std::filesystem::remove(options_.output / "validation.idx");
  EXPECT_FALSE(prepare_data(options_)->was_done);
  folder_.write("out/data.json", "{\"version\": 1}");
  EXPECT_FALSE(prepare_data(options_)->was_done);
  EXPECT_TRUE(prepare_data(options_)->was_done);
}

TEST_F(PrepareTest, SameTextElsewhereGivesTheSameBytes) {
  const auto first = prepare_data(options_);
  ASSERT_TRUE(first.ok()) << first.status();
  std::filesystem::rename(folder_ / "corpus", folder_ / "moved");
  std::filesystem::last_write_time(folder_ / "moved/f1.py",
                                   std::filesystem::file_time_type::clock::now());
  options_.corpus.path = folder_ / "moved";
  options_.output = folder_ / "out2";
  const auto second = prepare_data(options_);
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ(second->content, first->content);
  EXPECT_EQ(second->tokenizer, first->tokenizer);
  EXPECT_EQ(second->train.digest, first->train.digest);
  EXPECT_EQ(second->validation.digest, first->validation.digest);
}

TEST_F(PrepareTest, TakesAGivenTokenizer) {
  ASSERT_TRUE(prepare_data(options_).ok());
  DataOptions other = options_;
  other.tokenizer = options_.output / "tokenizer.json";
  other.output = folder_ / "out2";
  other.vocabulary_size = 0;
  const auto report = prepare_data(other);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(*read_file(other.output / "tokenizer.json"), *read_file(other.tokenizer));
  EXPECT_TRUE(prepare_data(other)->was_done);
}

TEST_F(PrepareTest, TellsHowFarItIs) {
  std::vector<double> fractions;
  options_.progress = [&](double fraction, const std::string& what) {
    EXPECT_FALSE(what.empty());
    fractions.push_back(fraction);
  };
  ASSERT_TRUE(prepare_data(options_).ok());
  EXPECT_TRUE(std::is_sorted(fractions.begin(), fractions.end()));
  EXPECT_EQ(fractions.back(), 1);
}

TEST_F(PrepareTest, HoldsOutAtLeastOneDocument) {
  options_.validation_fraction = 1e-9;
  const auto report = prepare_data(options_);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->validation.num_documents, 1u);
}

TEST_F(PrepareTest, EqualDocumentsAreOnOneSide) {
  for (int i = 0; i < 120; ++i) {
    folder_.write("corpus/again" + std::to_string(i) + ".py", texts_[static_cast<size_t>(i)]);
  }
  const auto report = prepare_data(options_);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->validation.num_documents % 2, 0u);
}

TEST_F(PrepareTest, SaysWhatIsWrong) {
  const auto refused = [&](const std::function<void(DataOptions&)>& change) {
    DataOptions bad = options_;
    change(bad);
    return prepare_data(bad).status();
  };
  EXPECT_EQ(refused([](DataOptions& options) { options.validation_fraction = 0; }).code(),
            Code::kInvalidArgument);
  EXPECT_EQ(refused([](DataOptions& options) { options.validation_fraction = NAN; }).code(),
            Code::kInvalidArgument);
  EXPECT_EQ(refused([](DataOptions& options) { options.vocabulary_size = 100; }).code(),
            Code::kInvalidArgument);
  EXPECT_EQ(refused([](DataOptions& options) { options.output.clear(); }).code(),
            Code::kInvalidArgument);
  EXPECT_EQ(refused([&](DataOptions& options) { options.tokenizer = folder_ / "absent"; }).code(),
            Code::kNotFound);
  const auto file = folder_.write("file", "x");
  EXPECT_NE(
      refused([&](DataOptions& options) { options.output = file; }).origin().find(file.string()),
      std::string::npos);
  const auto one = folder_.write("one.txt", "a single document");
  const Status single = refused([&](DataOptions& options) { options.corpus.path = one; });
  EXPECT_EQ(single.code(), Code::kInvalidArgument);
  EXPECT_EQ(single.origin(), one.string());
  const auto bad = folder_.write("bad.jsonl", "{\"text\": \"x\"}\n{\n");
  EXPECT_EQ(refused([&](DataOptions& options) { options.corpus.path = bad; }).origin(),
            bad.string() + ":2");
}

TEST_F(PrepareTest, OneProcessAtATime) {
  ASSERT_TRUE(make_directories(options_.output).ok());
  const FileHandle other(::open((options_.output / ".lock").c_str(), O_RDWR | O_CREAT, 0644));
  ASSERT_EQ(::flock(other.get(), LOCK_EX), 0);
  EXPECT_EQ(prepare_data(options_).status().code(), Code::kFailedPrecondition);
  ASSERT_EQ(::flock(other.get(), LOCK_UN), 0);
  EXPECT_TRUE(prepare_data(options_).ok());
}

// Kills a preparation at different moments; what is there afterwards is whole or is made again.
TEST_F(PrepareTest, KilledAtAnyMomentItIsMadeWholeByTheNextCall) {
  const auto expected = prepare_data(options_);
  ASSERT_TRUE(expected.ok()) << expected.status();
  for (int moment = 0; moment < 12; ++moment) {
    std::filesystem::remove(options_.output / "data.json");
    const pid_t child = ::fork();
    if (child == 0) {
      int left = moment * 3;
      options_.progress = [&](double, const std::string&) {
        if (left-- == 0) ::_exit(7);
      };
      ::_exit(prepare_data(options_).ok() ? 0 : 1);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    const auto loaded = load_data(options_.output);
    EXPECT_EQ(loaded.ok(), WEXITSTATUS(status) == 0) << moment;
    const auto report = prepare_data(options_);
    ASSERT_TRUE(report.ok()) << report.status();
    EXPECT_EQ(report->to_json(), expected->to_json());
  }
}

}  // namespace
}  // namespace skarv
