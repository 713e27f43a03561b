// Skarv's tokenizer against the `tokenizers` package, and token files against a reader in Python.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>

#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "data/encoder.h"
#include "data/support.h"
#include "data/token_file.h"
#include "data/token_writer.h"
#include "data/trainer.h"
#include "data/words.h"

namespace skarv {
namespace {

int run_python(const std::string& python, const std::string& script,
               const std::vector<std::string>& arguments) {
  std::string command = python + " '" + SKARV_SOURCE_DIR + "/tests/data/" + script + "'";
  for (const std::string& argument : arguments) command += " '" + argument + "'";
  return std::system(command.c_str());
}

std::string json_lines(const std::vector<std::string>& strings) {
  std::string lines;
  for (const std::string& text : strings) lines += Json(text).dump() + "\n";
  return lines;
}

std::vector<Json> read_lines(const std::filesystem::path& path) {
  std::ifstream stream(path);
  std::vector<Json> lines;
  for (std::string line; std::getline(stream, line);) lines.push_back(Json::parse(line));
  return lines;
}

std::vector<std::string> sample_texts(int count) {
  Random random(11);
  std::vector<std::string> texts;
  for (int i = 0; i < count; ++i) {
    texts.push_back(code_like_text(random, 40) + random_text(random, 30));
  }
  return texts;
}

Tokenizer trained(int32_t vocabulary_size) {
  WordCounter words;
  for (const std::string& text : sample_texts(200)) words.add(text);
  return *train_tokenizer(words, vocabulary_size);
}

class PythonTokenizersTest : public testing::Test {
 protected:
  void SetUp() override {
    python_ = python_with("tokenizers");
    if (python_.empty()) GTEST_SKIP() << "no Python with the package tokenizers (make setup)";
  }
  void encode_and_compare(const std::vector<std::string>& strings) {
    const Tokenizer tokenizer = trained(700);
    ASSERT_TRUE(tokenizer.save(folder_ / "tokenizer.json").ok());
    folder_.write("strings", json_lines(strings));
    ASSERT_EQ(
        run_python(python_, "tokenizers_reference.py",
                   {"encode", folder_ / "tokenizer.json", folder_ / "strings", folder_ / "ids"}),
        0);
    const std::vector<Json> expected = read_lines(folder_ / "ids");
    ASSERT_EQ(expected.size(), 2 * strings.size());
    Encoder encoder(tokenizer);
    size_t line = 0;
    for (const SpecialText special : {SpecialText::kOrdinary, SpecialText::kToken}) {
      for (const std::string& text : strings) {
        std::vector<int32_t> ids;
        encoder.encode(text, ids, special);
        ASSERT_EQ(ids, expected[line++].get<std::vector<int32_t>>()) << Json(text).dump();
      }
    }
  }
  std::string python_;
  CorpusFolder folder_;
};

std::vector<std::string> random_strings(int count) {
  Random random(1);
  std::vector<std::string> strings;
  for (int i = 0; i < count; ++i) strings.push_back(random_text(random, 12));
  for (int i = 0; i < 100; ++i) strings.push_back(random_text(random, 400));
  strings.push_back("a<|endoftext|>b<|endoftext|><|endoftext|> <|endoftext|");
  strings.push_back(std::string(5000, 'a') + std::string(3000, ' ') + std::string(4000, '='));
  return strings;
}

TEST_F(PythonTokenizersTest, SameIds) { encode_and_compare(random_strings(3000)); }

class PythonTokenizersSlowTest : public PythonTokenizersTest {};

TEST_F(PythonTokenizersSlowTest, SameIdsOnAHundredThousandRandomStrings) {
  encode_and_compare(random_strings(100000));
}

TEST_F(PythonTokenizersSlowTest, SameCutForEveryCodePoint) {
  std::vector<std::string> strings;
  for (uint32_t point = 0; point < 0x110000; point += 64) {
    if (point >= 0xD800 && point <= 0xDFFF) continue;
    std::string text;
    for (uint32_t next = point; next < point + 64; ++next) {
      // Its class decides with which neighbours it goes.
      for (const char* before : {" a", " 1", " !", "\n "}) {
        text += before;
        append_utf8(text, next);
      }
    }
    strings.push_back(std::move(text));
  }
  folder_.write("strings", json_lines(strings));
  ASSERT_EQ(run_python(python_, "tokenizers_reference.py",
                       {"cut", folder_ / "strings", folder_ / "words"}),
            0);
  const std::vector<Json> expected = read_lines(folder_ / "words");
  ASSERT_EQ(expected.size(), strings.size());
  for (size_t i = 0; i < strings.size(); ++i) {
    std::vector<size_t> lengths, expected_lengths;
    for_each_word(strings[i], [&](std::string_view word) { lengths.push_back(word.size()); });
    // The package writes each byte as one character of at most two bytes.
    for (const Json& word : expected[i]) {
      const std::string text = word.get<std::string>();
      expected_lengths.push_back(static_cast<size_t>(
          std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; })));
    }
    ASSERT_EQ(lengths, expected_lengths) << "from code point " << i * 64;
  }
}

TEST_F(PythonTokenizersTest, LearnsTheSameMergesAndReadsTheirFile) {
  const std::vector<std::string> texts = sample_texts(200);
  folder_.write("texts", json_lines(texts));
  ASSERT_EQ(run_python(python_, "tokenizers_reference.py",
                       {"train", folder_ / "texts", "700", folder_ / "theirs.json"}),
            0);
  const auto theirs = Tokenizer::load(folder_ / "theirs.json");
  ASSERT_TRUE(theirs.ok()) << theirs.status();
  const Tokenizer ours = trained(700);
  EXPECT_EQ(ours.vocabulary_size(), 700);
  EXPECT_EQ(ours.parts().tokens, theirs->parts().tokens);
  EXPECT_EQ(ours.parts().merges, theirs->parts().merges);
  EXPECT_EQ(ours.digest(), theirs->digest());
}

TEST(PythonMegatronTest, ReadsOurTokenFiles) {
  const std::string python = python_with("numpy");
  if (python.empty()) GTEST_SKIP() << "no Python with the package numpy (make setup)";
  const CorpusFolder folder;
  const std::vector<std::vector<int32_t>> documents = {{5, 6, 7, 0}, {0}, {499, 0}};
  for (const auto& [vocabulary_size, dtype] :
       {std::pair(500, "uint16"), std::pair(65499, "uint16"), std::pair(65500, "int32")}) {
    const auto prefix = folder / dtype;
    auto writer = TokenWriter::create(prefix, vocabulary_size);
    ASSERT_TRUE(writer.ok()) << writer.status();
    for (const auto& document : documents) ASSERT_TRUE((*writer)->add(document).ok());
    ASSERT_TRUE((*writer)->finish().ok());
    const std::string command = python + " '" + SKARV_SOURCE_DIR +
                                "/tests/data/megatron_reader.py' '" + prefix.string() + "' > '" +
                                (folder / "read").string() + "'";
    ASSERT_EQ(std::system(command.c_str()), 0);
    const auto read = read_json(folder / "read");
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_EQ((*read)["dtype"], dtype);
    EXPECT_EQ((*read)["borders"].get<std::vector<int>>(), (std::vector<int>{0, 1, 2, 3}));
    EXPECT_EQ((*read)["sequences"].get<std::vector<std::vector<int32_t>>>(), documents);
  }
}

}  // namespace
}  // namespace skarv
