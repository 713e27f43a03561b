// What the tests of this room share: a folder of their own, random text, Python.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace skarv {

// A new folder, removed with the object.
class CorpusFolder {
 public:
  CorpusFolder() {
    std::string pattern = std::filesystem::temp_directory_path() / "skarv_data_XXXXXX";
    path_ = ::mkdtemp(pattern.data());
  }
  ~CorpusFolder() { std::filesystem::remove_all(path_); }
  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }

  std::filesystem::path write(const std::string& name, std::string_view content) const {
    const std::filesystem::path path = path_ / name;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary) << content;
    return path;
  }

 private:
  std::filesystem::path path_;
};

inline void append_utf8(std::string& text, uint32_t point) {
  if (point < 0x80) {
    text += static_cast<char>(point);
  } else if (point < 0x800) {
    text += static_cast<char>(0xC0 | point >> 6);
    text += static_cast<char>(0x80 | (point & 0x3F));
  } else if (point < 0x10000) {
    text += static_cast<char>(0xE0 | point >> 12);
    text += static_cast<char>(0x80 | (point >> 6 & 0x3F));
    text += static_cast<char>(0x80 | (point & 0x3F));
  } else {
    text += static_cast<char>(0xF0 | point >> 18);
    text += static_cast<char>(0x80 | (point >> 12 & 0x3F));
    text += static_cast<char>(0x80 | (point >> 6 & 0x3F));
    text += static_cast<char>(0x80 | (point & 0x3F));
  }
}

using Random = std::mt19937_64;

inline uint32_t below(Random& random, uint32_t bound) {
  return static_cast<uint32_t>(random() % bound);
}

// A code point, any plane alike: no surrogates.
inline uint32_t random_point(Random& random) {
  while (true) {
    const uint32_t point = below(random, 0x110000);
    if (point < 0xD800 || point > 0xDFFF) return point;
  }
}

// Text that meets the corners of the cutting rule often: blanks, contractions, digits, letters of
// several scripts, marks, and arbitrary code points. Up to `max_parts` parts.
inline std::string random_text(Random& random, uint32_t max_parts) {
  static const std::vector<std::string> kParts = {" ",
                                                  "  ",
                                                  "\n",
                                                  "\t",
                                                  "\r\n",
                                                  "\u00A0",
                                                  "\u2003",
                                                  "\u3000",
                                                  "\u0085",
                                                  "'s",
                                                  "'t",
                                                  "'re",
                                                  "'ve",
                                                  "'m",
                                                  "'ll",
                                                  "'d",
                                                  "'S",
                                                  "'",
                                                  "''",
                                                  "'r",
                                                  "the",
                                                  "The",
                                                  "self",
                                                  "return",
                                                  "import",
                                                  "a",
                                                  "aaaa",
                                                  "x1",
                                                  "_",
                                                  "__",
                                                  "0",
                                                  "42",
                                                  "\u0661",
                                                  "\u2167",
                                                  "\u00BD",
                                                  "\u00E9",
                                                  "\u0301",
                                                  "\u05D0",
                                                  "\u4E2D\u6587",
                                                  "\U0001F600",
                                                  "\U0001F468\u200D\U0001F469",
                                                  "!",
                                                  "...",
                                                  "(",
                                                  "):",
                                                  "==",
                                                  "\x01",
                                                  "\x7F",
                                                  "\u180E",
                                                  "\u200B",
                                                  "\u2028",
                                                  "<|endoftext|",
                                                  "\U0002F800",
                                                  "\uFFFD"};
  std::string text;
  for (uint32_t left = below(random, max_parts + 1); left > 0; --left) {
    switch (below(random, 8)) {
      case 0:
        append_utf8(text, random_point(random));
        break;
      case 1:
        append_utf8(text, below(random, 0x80));
        break;
      case 2:
        append_utf8(text, below(random, 0x3000));
        break;
      default:
        text += kParts[below(random, static_cast<uint32_t>(kParts.size()))];
    }
  }
  return text;
}

// Some text in the manner of source code, for learning small tokenizers from.
inline std::string code_like_text(Random& random, int num_lines) {
  static const std::vector<std::string> kWords = {
      "self",  "return", "import", "value", "index", "tensor", "for", "in",   "range", "None",
      "class", "def",    "print",  "torch", "shape", "result", "if",  "else", "not",   "raise"};
  std::string text;
  for (int line = 0; line < num_lines; ++line) {
    text.append(4 * below(random, 4), ' ');
    for (uint32_t words = 1 + below(random, 6); words > 0; --words) {
      text += kWords[below(random, static_cast<uint32_t>(kWords.size()))];
      text +=
          std::vector<std::string>{" ", "_", ".", "(", ") ", " = ", ", ", "1"}[below(random, 8)];
    }
    text += '\n';
  }
  return text;
}

// Python with the named modules, or an empty string: then skip, and say why.
inline std::string python_with(const std::string& modules) {
  for (const std::string& python :
       {std::string(SKARV_SOURCE_DIR) + "/.venv/bin/python", std::string("python3")}) {
    const std::string command = "'" + python + "' -c 'import " + modules + "' >/dev/null 2>&1";
    if (std::system(command.c_str()) == 0) return "'" + python + "'";
  }
  return "";
}

}  // namespace skarv
