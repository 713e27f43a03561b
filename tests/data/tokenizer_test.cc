#include "data/tokenizer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

#include "base/json.h"
#include "data/byte_alphabet.h"
#include "data/encoder.h"
#include "data/support.h"
#include "data/trainer.h"

namespace skarv {
namespace {

Tokenizer trained(int32_t vocabulary_size) {
  Random random(7);
  WordCounter words;
  words.add(code_like_text(random, 3000));
  for (int i = 0; i < 300; ++i) words.add(std::string(1 + below(random, 60), 'a') + " ");
  return *train_tokenizer(words, vocabulary_size);
}

std::vector<int32_t> encoded(const Tokenizer& tokenizer, std::string_view text,
                             SpecialText special = SpecialText::kOrdinary) {
  std::vector<int32_t> ids;
  Encoder(tokenizer).encode(text, ids, special);
  return ids;
}

TEST(TrainerTest, TakesTheMostFrequentPairAndAmongEqualsTheSmallerIds) {
  WordCounter words;
  words.add("low low lower lower lower newest");
  const auto tokenizer = train_tokenizer(words, 260);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  // l-o and o-w occur five times each; 'l' comes before 'o'. The bytes' ids begin at 1 with '!'.
  EXPECT_EQ(tokenizer->parts().tokens[257], "lo");
  EXPECT_EQ(tokenizer->parts().tokens[258], "low");
  EXPECT_EQ(tokenizer->parts().tokens[259], " low");
  EXPECT_EQ(tokenizer->end_of_text(), 0);
  EXPECT_EQ(tokenizer->byte_id('!'), 1);
  EXPECT_EQ(tokenizer->byte_id(0), 1 + 188) << "the first byte without a printable character";
}

TEST(TrainerTest, StopsWhenNothingRepeats) {
  WordCounter words;
  words.add("abcdef");
  EXPECT_EQ(train_tokenizer(words, 4096)->vocabulary_size(), 257);
}

TEST(TrainerTest, CountsOverlapsAsTheyMerge) {
  WordCounter words;
  words.add("aaaaa aaaaa");  // " aaaaa" and "aaaaa"
  const auto tokenizer = train_tokenizer(words, 300);
  ASSERT_TRUE(tokenizer.ok());
  EXPECT_EQ(tokenizer->parts().tokens[257], "aa");
  EXPECT_EQ(tokenizer->parts().tokens[258], "aaa");
  EXPECT_EQ(tokenizer->parts().tokens[259], "aaaaa");
  EXPECT_EQ(tokenizer->vocabulary_size(), 260);
}

TEST(TrainerTest, RefusesWhatCannotBeLearned) {
  WordCounter words;
  EXPECT_EQ(train_tokenizer(words, 4096).status().code(), Code::kInvalidArgument);
  words.add("text");
  EXPECT_EQ(train_tokenizer(words, 256).status().code(), Code::kInvalidArgument);
  EXPECT_EQ(train_tokenizer(words, -1).status().code(), Code::kInvalidArgument);
  EXPECT_EQ(train_tokenizer(words, 1 << 30).status().code(), Code::kInvalidArgument);
}

TEST(WordCounterTest, CountsEachDistinctWord) {
  WordCounter words;
  for (int i = 0; i < 5000; ++i) words.add("word" + std::to_string(i % 1700) + " same");
  EXPECT_EQ(words.num_words(), 1702u);  // "word" and " same", and the digits
  uint64_t total = 0;
  for (size_t i = 0; i < words.num_words(); ++i) {
    if (words.word(i) == " same") {
      EXPECT_EQ(words.count(i), 5000u);
    }
    total += words.count(i);
  }
  EXPECT_EQ(total, 15000u);
}

// The rule in its plainest form: merge the pair of lowest rank, leftmost first.
std::vector<int32_t> merged_plainly(const Tokenizer& tokenizer, std::string_view word) {
  std::vector<int32_t> ids;
  for (char c : word) ids.push_back(tokenizer.byte_id(static_cast<uint8_t>(c)));
  while (true) {
    size_t best = ids.size();
    uint32_t best_rank = ~uint32_t{0};
    for (size_t i = 0; i + 1 < ids.size(); ++i) {
      const Merge* merge = tokenizer.merge_of(ids[i], ids[i + 1]);
      if (merge != nullptr && merge->rank < best_rank) {
        best = i;
        best_rank = merge->rank;
      }
    }
    if (best == ids.size()) return ids;
    ids[best] = tokenizer.merge_of(ids[best], ids[best + 1])->id;
    ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(best) + 1);
  }
}

TEST(EncoderTest, MergesWordsOfEveryLengthByTheRule) {
  const Tokenizer tokenizer = trained(600);
  Random random(8);
  Encoder encoder(tokenizer);
  std::vector<int32_t> ids;
  for (int i = 0; i < 4000; ++i) {
    std::string word;
    for (uint32_t left = 1 + below(random, 130); left > 0; --left) {
      word += "aaaaaeirstuln"[below(random, 13)];
    }
    for (int again = 0; again < 2; ++again) {  // the second time from the cache
      ids.clear();
      encoder.encode(word, ids);
      ASSERT_EQ(ids, merged_plainly(tokenizer, word)) << word;
    }
  }
}

TEST(EncoderTest, GivesBackTheSameBytes) {
  const Tokenizer tokenizer = trained(600);
  Random random(9);
  Encoder encoder(tokenizer);
  for (int i = 0; i < 3000; ++i) {
    std::string bytes = random_text(random, 20);
    for (uint32_t left = below(random, 10); left > 0; --left) {
      bytes.insert(bytes.begin() + below(random, static_cast<uint32_t>(bytes.size() + 1)),
                   static_cast<char>(below(random, 256)));
    }
    std::vector<int32_t> ids;
    encoder.encode(bytes, ids);
    ASSERT_EQ(*tokenizer.decode(ids), bytes);
  }
}

TEST(EncoderTest, ATextCannotForgeTheEndOfADocument) {
  const Tokenizer tokenizer = trained(400);
  const std::string text = "a<|endoftext|>b";
  const auto ordinary = encoded(tokenizer, text);
  EXPECT_EQ(std::count(ordinary.begin(), ordinary.end(), tokenizer.end_of_text()), 0);
  EXPECT_EQ(*tokenizer.decode(ordinary), text);
  const auto special = encoded(tokenizer, text, SpecialText::kToken);
  EXPECT_EQ(special, (std::vector<int32_t>{tokenizer.byte_id('a'), 0, tokenizer.byte_id('b')}));
  EXPECT_EQ(*tokenizer.decode(special), "ab");
  EXPECT_EQ(*tokenizer.decode(special, /*with_special=*/true), text);
}

TEST(EncoderTest, SlowWordsDoNotExist) {
  const Tokenizer tokenizer = trained(600);
  const std::string word(1 << 20, 'a');  // a quadratic method would take an hour
  EXPECT_EQ(*tokenizer.decode(encoded(tokenizer, word)), word);
}

TEST(TokenizerTest, FileReadsBackEqual) {
  const Tokenizer tokenizer = trained(300);
  const CorpusFolder folder;
  ASSERT_TRUE(tokenizer.save(folder / "tokenizer.json").ok());
  const auto again = Tokenizer::load(folder / "tokenizer.json");
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->digest(), tokenizer.digest());
  EXPECT_EQ(again->to_json(), tokenizer.to_json());
  EXPECT_NE(trained(299).digest(), tokenizer.digest());
  EXPECT_EQ(Tokenizer::load(folder / "absent.json").status().code(), Code::kNotFound);
}

TEST(TokenizerTest, ByteAlphabetHasOneCharacterAByte) {
  std::string bytes;
  for (int byte = 0; byte < 256; ++byte) bytes += static_cast<char>(byte);
  EXPECT_EQ(ByteAlphabet::to_bytes(ByteAlphabet::to_text(bytes)), bytes);
  EXPECT_EQ(ByteAlphabet::to_text(" \n"), "\u0120\u010A");
  EXPECT_EQ(ByteAlphabet::to_bytes(" "), std::nullopt);
  EXPECT_EQ(ByteAlphabet::to_bytes("\u4E2D"), std::nullopt);
}

TEST(TokenizerTest, DecodeRefusesForeignIds) {
  const Tokenizer tokenizer = trained(300);
  for (const int32_t id : {-1, 300, 1 << 30}) {
    EXPECT_EQ(tokenizer.decode(std::vector<int32_t>{1, id}).status().code(),
              Code::kInvalidArgument);
  }
}

// Each case changes a good file and names what the message has to say.
TEST(TokenizerTest, RefusesFilesItDoesNotUnderstand) {
  const Json good = Json::parse(trained(300).to_json());
  const auto refused = [&](const std::function<void(Json&)>& change, const std::string& because) {
    Json bad = good;
    change(bad);
    const auto parsed = Tokenizer::parse(bad.dump(), "t.json");
    ASSERT_FALSE(parsed.ok()) << because << bad["model"]["merges"].back();
    EXPECT_EQ(parsed.status().code(), Code::kInvalidArgument);
    EXPECT_EQ(parsed.status().origin(), "t.json");
    EXPECT_NE(parsed.status().message().find(because), std::string::npos) << parsed.status();
  };
  refused([](Json& json) { json = Json::array(); }, "no object \"model\"");
  refused([](Json& json) { json["normalizer"] = {{"type", "NFC"}}; }, "normalizer");
  refused([](Json& json) { json["pre_tokenizer"]["type"] = "Whitespace"; }, "pre_tokenizer");
  refused([](Json& json) { json["pre_tokenizer"] = nullptr; }, "pre_tokenizer");
  refused([](Json& json) { json["pre_tokenizer"]["add_prefix_space"] = true; }, "add_prefix_space");
  refused([](Json& json) { json["pre_tokenizer"].erase("add_prefix_space"); }, "add_prefix_space");
  refused([](Json& json) { json["pre_tokenizer"]["use_regex"] = false; }, "use_regex");
  refused(
      [](Json& json) {
        json["post_processor"] = {{"type", "TemplateProcessing"}};
      },
      "post_processor");
  refused([](Json& json) { json["model"]["type"] = "Unigram"; }, "Unigram");
  refused([](Json& json) { json["model"]["byte_fallback"] = true; }, "byte_fallback");
  refused([](Json& json) { json["model"]["ignore_merges"] = true; }, "ignore_merges");
  refused([](Json& json) { json["model"]["unk_token"] = "?"; }, "unk_token");
  refused([](Json& json) { json["added_tokens"] = Json::array(); }, "no special token");
  refused([](Json& json) { json["added_tokens"] = 3; }, "added_tokens");
  refused([](Json& json) { json["added_tokens"][0].erase("id"); }, "no id");
  refused([](Json& json) { json["added_tokens"][0]["special"] = false; }, "not special");
  refused([](Json& json) { json["added_tokens"][0]["lstrip"] = true; }, "lstrip");
  refused([](Json& json) { json["added_tokens"][0]["id"] = 1; }, "two tokens");
  refused([](Json& json) { json["added_tokens"][0]["id"] = 123456789012; }, "outside");
  refused([](Json& json) { json["added_tokens"][0]["content"] = ""; }, "empty");
  refused([](Json& json) { json["added_tokens"][0]["content"] = "</s>"; }, "");
  refused([](Json& json) { json["model"]["vocab"] = 1; }, "vocab");
  refused([](Json& json) { json["model"]["vocab"]["!"] = 2; }, "two tokens");
  refused([](Json& json) { json["model"]["vocab"]["!"] = -5; }, "outside");
  refused([](Json& json) { json["model"]["vocab"]["!"] = "1"; }, "no integer");
  refused([](Json& json) { json["model"]["vocab"].erase("!"); }, "");
  refused([](Json& json) { json["model"]["vocab"][" "] = 300; }, "byte alphabet");
  refused([](Json& json) { json["model"]["merges"] = nullptr; }, "merges");
  refused([](Json& json) { json["model"]["merges"].push_back("ab"); }, "no blank");
  refused([](Json& json) { json["model"]["merges"].push_back({"a"}); }, "no pair");
  refused(
      [](Json& json) {
        json["model"]["merges"].push_back({"a", "\u4E2D"});
      },
      "not in the vocabulary");
  refused(
      [](Json& json) {
        json["model"]["merges"].push_back({"!", "!"});
      },
      "not in the vocabulary");
  const auto broken = Tokenizer::parse("{\n\"model\": {,", "t.json");
  EXPECT_EQ(broken.status().origin(), "t.json:2");
  // The form of merges before version 0.20 of the package.
  Json old = good;
  for (Json& merge : old["model"]["merges"]) {
    merge = merge[0].get<std::string>() + " " + merge[1].get<std::string>();
  }
  ASSERT_TRUE(Tokenizer::parse(old.dump(), "t.json").ok());
  EXPECT_EQ(Tokenizer::parse(old.dump(), "t.json")->digest(), trained(300).digest());
}

TEST(TokenizerTest, SurvivesDamagedFiles) {
  const std::string good = trained(280).to_json();
  Random random(10);
  for (int i = 0; i < 300; ++i) {
    std::string bad = good;
    if (i % 3 == 0) bad.resize(below(random, static_cast<uint32_t>(bad.size())));
    for (int changes = 0; changes < 3; ++changes) {
      if (!bad.empty()) {
        bad[below(random, static_cast<uint32_t>(bad.size()))] =
            "\"{}[]:,0\xFF\\"[below(random, 10)];
      }
    }
    const auto parsed = Tokenizer::parse(bad, "t.json");
    if (parsed.ok()) {
      EXPECT_GE(parsed->vocabulary_size(), 257);
    }
  }
}

}  // namespace
}  // namespace skarv
