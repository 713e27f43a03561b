// UTF-8, classes of characters, and the cutting of text into words.
#include <gtest/gtest.h>
#include <utf8proc.h>
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "data/support.h"
#include "data/unicode_class.h"
#include "data/utf8.h"
#include "data/words.h"

namespace skarv {
namespace {

std::string repaired(std::string text, uint64_t expected_count) {
  EXPECT_EQ(repair_utf8(text), expected_count);
  return text;
}

TEST(Utf8Test, ReplacesMaximalInvalidParts) {
  EXPECT_EQ(repaired("plain \u00E9 \U0001F600", 0), "plain \u00E9 \U0001F600");
  EXPECT_EQ(repaired("a\xFFz", 1), "a\uFFFDz");
  EXPECT_EQ(repaired("\xE4\xB8z", 1), "\uFFFDz") << "a cut sequence is one part";
  EXPECT_EQ(repaired("\xF0\x9F\x98", 1), "\uFFFD");
  EXPECT_EQ(repaired("\xC0\xAF", 2), "\uFFFD\uFFFD") << "overlong";
  EXPECT_EQ(repaired("\xED\xA0\x80", 3), "\uFFFD\uFFFD\uFFFD") << "surrogate";
  EXPECT_EQ(repaired("\xF4\x90\x80\x80", 4), "\uFFFD\uFFFD\uFFFD\uFFFD") << "above U+10FFFF";
  EXPECT_EQ(repaired("12345678\x80", 1), "12345678\uFFFD");
}

TEST(Utf8Test, AgreesWithUtf8procOnRandomBytes) {
  Random random(3);
  for (int i = 0; i < 200000; ++i) {
    std::string bytes;
    for (uint32_t left = 1 + below(random, 5); left > 0; --left) {
      static const std::string kHard =
          "a\x7F\x80\xBF\xC1\xC2\xDF\xE0\xED\xEF\xF0\xF4\xF5\x90\xA0\x9F";
      bytes += kHard[below(random, static_cast<uint32_t>(kHard.size()))];
    }
    utf8proc_int32_t expected;
    const auto length = utf8proc_iterate(reinterpret_cast<const uint8_t*>(bytes.data()),
                                         static_cast<utf8proc_ssize_t>(bytes.size()), &expected);
    const CodePoint point = decode_utf8(bytes, 0);
    ASSERT_EQ(point.value, length < 0 ? -1 : expected);
    if (length > 0) {
      ASSERT_EQ(point.length, length);
    }
  }
}

TEST(Utf8Test, KnowsTextFromOtherBytes) {
  EXPECT_TRUE(looks_like_text(""));
  EXPECT_TRUE(looks_like_text("caf\u00E9\n"));
  EXPECT_TRUE(looks_like_text("cut in a character \xF0\x9F\x98"));
  EXPECT_FALSE(looks_like_text(std::string_view("a\0b", 3)));
  EXPECT_FALSE(looks_like_text("\xFF\xFE"));
  EXPECT_FALSE(looks_like_text("\x89PNG\r\n"));
  EXPECT_FALSE(looks_like_text("ends with \xFF"));
}

TEST(CharacterClassTest, AgreesWithUtf8procWhereThatKnowsTheCharacter) {
  int num_compared = 0;
  for (int32_t point = 0; point < 0x110000; ++point) {
    CharacterClass expected = CharacterClass::kOther;
    switch (utf8proc_category(point)) {
      case UTF8PROC_CATEGORY_CN:
        continue;  // not assigned in that library's, older, version of Unicode
      case UTF8PROC_CATEGORY_LU:
      case UTF8PROC_CATEGORY_LL:
      case UTF8PROC_CATEGORY_LT:
      case UTF8PROC_CATEGORY_LM:
      case UTF8PROC_CATEGORY_LO:
        expected = CharacterClass::kLetter;
        break;
      case UTF8PROC_CATEGORY_ND:
      case UTF8PROC_CATEGORY_NL:
      case UTF8PROC_CATEGORY_NO:
        expected = CharacterClass::kNumber;
        break;
      case UTF8PROC_CATEGORY_ZS:
      case UTF8PROC_CATEGORY_ZL:
      case UTF8PROC_CATEGORY_ZP:
        expected = CharacterClass::kSpace;
        break;
      default:
        if ((point >= '\t' && point <= '\r') || point == 0x85) expected = CharacterClass::kSpace;
    }
    ++num_compared;
    ASSERT_EQ(character_class(point), expected) << "code point " << point;
  }
  EXPECT_GT(num_compared, 280000);
  EXPECT_EQ(character_class(-1), CharacterClass::kOther);
  EXPECT_EQ(character_class(0x110000), CharacterClass::kOther);
}

std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> words;
  for_each_word(text, [&](std::string_view word) { words.emplace_back(word); });
  return words;
}

using Words = std::vector<std::string>;

TEST(WordsTest, CutsAsGpt2Does) {
  EXPECT_EQ(words_of("Hello world, it's 42!"),
            (Words{"Hello", " world", ",", " it", "'s", " 42", "!"}));
  EXPECT_EQ(words_of("a  b"), (Words{"a", " ", " b"}));
  EXPECT_EQ(words_of("a\n\n  b"), (Words{"a", "\n\n ", " b"}));
  EXPECT_EQ(words_of("a\nb"), (Words{"a", "\n", "b"}));
  EXPECT_EQ(words_of("a   "), (Words{"a", "   "}));
  EXPECT_EQ(words_of(" 's"), (Words{" '", "s"}));
  EXPECT_EQ(words_of("we'll'LL"), (Words{"we", "'ll", "'", "LL"}));
  EXPECT_EQ(words_of("x\u00A0y"), (Words{"x", "\u00A0", "y"}));
  EXPECT_EQ(words_of(""), Words());
  EXPECT_EQ(words_of("\xFF\xFE"), (Words{"\xFF\xFE"})) << "bytes that are no UTF-8 are kept";
}

// A compiled expression of PCRE2.
class Expression {
 public:
  explicit Expression(const std::string& pattern) {
    int error;
    size_t offset;
    code_ = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                          PCRE2_UTF | PCRE2_UCP, &error, &offset, nullptr);
    match_ = pcre2_match_data_create_from_pattern(code_, nullptr);
  }
  ~Expression() {
    pcre2_match_data_free(match_);
    pcre2_code_free(code_);
  }
  // The end of a match, npos for none.
  size_t match(const std::string& text, size_t place, uint32_t options) {
    const int count = pcre2_match(code_, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(),
                                  place, options, match_, nullptr);
    return count > 0 ? pcre2_get_ovector_pointer(match_)[1] : std::string::npos;
  }

 private:
  pcre2_code* code_;
  pcre2_match_data* match_;
};

// The expression itself, by PCRE2. \s is spelled out, for PCRE2 adds U+180E to it.
TEST(WordsTest, EqualsTheRegularExpression) {
  Expression unknown(R"(\p{Cn})");  // to the library's older version of Unicode
  Expression word(R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\p{Z}\t-\r\x{85}\p{L}\p{N}]+|)"
                  R"([\p{Z}\t-\r\x{85}]+(?![^\p{Z}\t-\r\x{85}])|[\p{Z}\t-\r\x{85}]+)");
  Random random(5);
  int num_compared = 0;
  for (int i = 0; i < 60000; ++i) {
    const std::string text = random_text(random, 14);
    if (unknown.match(text, 0, 0) != std::string::npos) continue;
    ++num_compared;
    Words expected;
    for (size_t place = 0; place < text.size();) {
      const size_t end = word.match(text, place, PCRE2_ANCHORED);
      ASSERT_NE(end, std::string::npos);
      expected.push_back(text.substr(place, end - place));
      place = end;
    }
    ASSERT_EQ(words_of(text), expected) << testing::PrintToString(text);
  }
  EXPECT_GT(num_compared, 10000);
}

TEST(WordsTest, LosesNoByteOfAnything) {
  Random random(6);
  for (int i = 0; i < 20000; ++i) {
    std::string bytes;
    for (uint32_t left = below(random, 30); left > 0; --left) {
      bytes += static_cast<char>(below(random, 256));
    }
    std::string joined;
    for (const std::string& word : words_of(bytes)) {
      ASSERT_FALSE(word.empty());
      joined += word;
    }
    ASSERT_EQ(joined, bytes);
  }
}

}  // namespace
}  // namespace skarv
