#include "data/corpus.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "data/support.h"

namespace skarv {
namespace {

struct Read {
  std::vector<std::string> texts, names;
  std::vector<uint64_t> lines;
  uint64_t num_replaced = 0, num_bytes = 0;
  Status status;
};

Read read_all(const CorpusOptions& options) {
  Read read;
  const auto corpus = Corpus::open(options);
  read.status = corpus.status();
  if (!corpus.ok()) return read;
  CorpusReader reader = corpus->read();
  CorpusDocument document;
  while (true) {
    const auto found = reader.next(&document);
    read.status = found.status();
    if (!found.ok() || !*found) break;
    read.texts.push_back(document.text);
    read.names.push_back(document.name);
    read.lines.push_back(document.line);
  }
  read.num_replaced = reader.num_replaced();
  read.num_bytes = reader.num_bytes_read();
  return read;
}

CorpusOptions at(const std::filesystem::path& path) {
  CorpusOptions options;
  options.path = path;
  return options;
}

using Texts = std::vector<std::string>;

TEST(CorpusTest, ReadsAFolderInTheOrderOfNames) {
  const CorpusFolder folder;
  folder.write("b.py", "b");
  folder.write("a/z.py", "az");
  folder.write("a.py", "a");
  folder.write("a/deep/er.txt", "not Python");
  folder.write("empty.py", "");
  folder.write(".hidden/x.py", "hidden");
  folder.write("a/.secret.py", "hidden");
  folder.write("table.pyc", "c");
  std::filesystem::create_symlink(folder / "absent", folder / "dangling.py");
  std::filesystem::create_directory_symlink(folder.path(), folder / "cycle");
  CorpusOptions options = at(folder.path());
  options.extensions = {".py"};
  const Read read = read_all(options);
  ASSERT_TRUE(read.status.ok()) << read.status;
  EXPECT_EQ(read.names, (Texts{"a.py", "a/z.py", "b.py"}));
  EXPECT_EQ(read.texts, (Texts{"a", "az", "b"}));
}

TEST(CorpusTest, WithoutExtensionsTakesWhatLooksLikeText) {
  const CorpusFolder folder;
  folder.write("notes", "caf\u00E9");
  folder.write("image", std::string_view("\x89PNG\0", 5));
  folder.write("latin1", "caf\xE9 au lait");
  folder.write("lines.jsonl", "{\"text\": \"one\"}\n{\"text\": \"two\"}\n");
  const Read read = read_all(at(folder.path()));
  ASSERT_TRUE(read.status.ok()) << read.status;
  EXPECT_EQ(read.texts, (Texts{"one", "two", "caf\u00E9"}));
  EXPECT_EQ(Corpus::open(at(folder.path()))->num_left_out(), 2u);
}

TEST(CorpusTest, CutsTextAtLineEnds) {
  const CorpusFolder folder;
  CorpusOptions options = at(folder.write("t.txt", "one\ntwo\nthree\nfour"));
  options.max_document_bytes = 9;
  const Read read = read_all(options);
  EXPECT_EQ(read.texts, (Texts{"one\ntwo\n", "three\n", "four"}));
  EXPECT_EQ(read.lines, (std::vector<uint64_t>{1, 3, 4}));
  EXPECT_EQ(read.num_bytes, 18u);
}

TEST(CorpusTest, CutsLongLinesBetweenCharacters) {
  const CorpusFolder folder;
  std::string text;
  for (int i = 0; i < 300; ++i)
    text += i % 3 == 0 ? "\u00E9" : i % 3 == 1 ? "\u4E2D" : "\U0001F600";
  for (uint64_t size = 4; size < 40; ++size) {
    CorpusOptions options = at(folder.write("t.txt", text));
    options.max_document_bytes = size;
    const Read read = read_all(options);
    std::string joined;
    for (const std::string& piece : read.texts) {
      EXPECT_LE(piece.size(), size);
      joined += piece;
    }
    EXPECT_EQ(joined, text);
    EXPECT_EQ(read.num_replaced, 0u);
  }
}

TEST(CorpusTest, LargeFilesComeInPieces) {
  const CorpusFolder folder;
  Random random(1);
  const std::string text = code_like_text(random, 60000);
  ASSERT_GT(text.size(), 1000000u);
  const Read read = read_all(at(folder.write("t.txt", text)));
  std::string joined;
  uint64_t line = 1;
  for (size_t i = 0; i < read.texts.size(); ++i) {
    ASSERT_LE(read.texts[i].size(), 64u << 10);
    ASSERT_EQ(read.lines[i], line);
    line += static_cast<uint64_t>(std::count(read.texts[i].begin(), read.texts[i].end(), '\n'));
    joined += read.texts[i];
  }
  EXPECT_TRUE(joined == text);
}

TEST(CorpusTest, RepairsInvalidUtf8AndCountsIt) {
  const CorpusFolder folder;
  folder.write("a.txt", "caf\xE9 \xFF\xFE");
  folder.write("b.jsonl", "{\"text\": \"x\xE9\"}\n");
  CorpusOptions options = at(folder.path());
  options.extensions = {".txt", ".jsonl"};
  const Read read = read_all(options);
  ASSERT_TRUE(read.status.ok()) << read.status;
  EXPECT_EQ(read.texts, (Texts{"caf\uFFFD \uFFFD\uFFFD", "x\uFFFD"}));
  EXPECT_EQ(read.num_replaced, 4u);
}

TEST(CorpusTest, ReadsJsonLines) {
  const CorpusFolder folder;
  CorpusOptions options = at(folder.write(
      "t.jsonl",
      "{\"text\": \"one\\n\", \"id\": 1}\n\n  \r\n{\"text\": \"\"}\n{\"text\": \"two\"}"));
  EXPECT_EQ(read_all(options).texts, (Texts{"one\n", "two"}));
  EXPECT_EQ(read_all(options).lines, (std::vector<uint64_t>{1, 5}));
  folder.write("t.jsonl", "{\"body\": \"three\"}\n");
  options.text_field = "body";
  EXPECT_EQ(read_all(options).texts, (Texts{"three"}));
  EXPECT_EQ(read_all(at(folder.write("U.JSONL", "{\"text\": \"four\"}\n"))).texts, (Texts{"four"}));
}

TEST(CorpusTest, BadJsonLinesAreNamed) {
  const CorpusFolder folder;
  const auto refused = [&](const std::string& line, const std::string& because) {
    const auto path = folder.write("t.jsonl", "{\"text\": \"good\"}\n" + line + "\n");
    const Read read = read_all(at(path));
    EXPECT_EQ(read.texts, Texts{"good"});
    EXPECT_EQ(read.status.code(), Code::kInvalidArgument) << line;
    EXPECT_EQ(read.status.origin(), path.string() + ":2");
    EXPECT_NE(read.status.to_string().find(because), std::string::npos) << read.status;
  };
  refused("{\"text\": \"open", "JSON");
  refused("plain text", "JSON");
  refused("{\"text\": 1e999}", "JSON");
  refused("{\"text\": \"\\ud800\"}", "JSON");
  refused("[1, 2]", "no JSON object");
  refused("{\"body\": 1, \"title\": 2}", "the fields are: body, title");
  refused("{\"text\": 5}", "no text");
  refused(std::string(100000, '['), "JSON");
}

TEST(CorpusTest, TooLongALineIsRefused) {
  const CorpusFolder folder;
  const Read read = read_all(at(folder.write("t.jsonl", std::string(66 << 20, 'x'))));
  EXPECT_EQ(read.status.code(), Code::kInvalidArgument);
  EXPECT_NE(read.status.message().find("more than"), std::string::npos) << read.status;
}

TEST(CorpusTest, CapChoosesTheSameFilesSpreadOverTheFolder) {
  const CorpusFolder folder;
  for (int i = 0; i < 100; ++i) {
    folder.write("f" + std::to_string(100 + i) + ".txt", std::string(1000, 'x'));
  }
  CorpusOptions options = at(folder.path());
  options.max_bytes = 20500;
  const Read read = read_all(options);
  EXPECT_EQ(read.texts.size(), 20u);
  EXPECT_TRUE(std::is_sorted(read.names.begin(), read.names.end()));
  EXPECT_LT(read.names.front(), "f120.txt");
  EXPECT_GT(read.names.back(), "f180.txt");
  EXPECT_EQ(read_all(options).names, read.names);
  EXPECT_EQ(Corpus::open(options)->num_bytes(), 20000u);
}

TEST(CorpusTest, CapTakesTheBeginningOfAFile) {
  const CorpusFolder folder;
  CorpusOptions options = at(folder.write("t.txt", "one\ntwo\nthree\n"));
  options.max_document_bytes = 4;
  options.max_bytes = 9;
  EXPECT_EQ(read_all(options).texts, (Texts{"one\n", "two\n"}));
}

TEST(CorpusTest, CapSmallerThanEveryFileTakesTheBeginningOfOne) {
  const CorpusFolder folder;
  for (const char* name : {"a.txt", "b.txt"}) folder.write(name, std::string(50, 'x') + "\n");
  CorpusOptions options = at(folder.path());
  options.max_document_bytes = 10;
  options.max_bytes = 25;
  EXPECT_EQ(read_all(options).texts.size(), 2u);
}

TEST(CorpusTest, SaysWhatIsMissing) {
  const CorpusFolder folder;
  EXPECT_EQ(Corpus::open(at(folder / "absent")).status().code(), Code::kNotFound);
  EXPECT_EQ(Corpus::open(at(folder / "absent")).status().origin(), (folder / "absent").string());
  const Status empty = Corpus::open(at(folder.path())).status();
  EXPECT_EQ(empty.code(), Code::kInvalidArgument);
  EXPECT_NE(empty.message().find("empty"), std::string::npos);
  EXPECT_EQ(Corpus::open(at(folder.write("t", ""))).status().code(), Code::kInvalidArgument);
  CorpusOptions options = at(folder.path());
  options.extensions = {"py"};
  EXPECT_NE(Corpus::open(options).status().hint().find("\".py\""), std::string::npos);
  options.extensions = {".py"};
  EXPECT_NE(Corpus::open(options).status().message().find(".py"), std::string::npos);
}

TEST(CorpusTest, BoundsDocuments) {
  const CorpusFolder folder;
  CorpusOptions options = at(folder.write("t.txt", "text"));
  for (const uint64_t size : {uint64_t{0}, uint64_t{3}, ~uint64_t{0}}) {
    options.max_document_bytes = size;
    EXPECT_EQ(Corpus::open(options).status().code(), Code::kInvalidArgument);
  }
}

TEST(CorpusTest, DigestFollowsFilesAndOptions) {
  const CorpusFolder folder;
  CorpusOptions options = at(folder.write("t.txt", "text"));
  const Digest before = Corpus::open(options)->digest();
  EXPECT_EQ(Corpus::open(options)->digest(), before);
  options.max_document_bytes = 100;
  EXPECT_NE(Corpus::open(options)->digest(), before);
  options = at(folder.write("t.txt", "texts"));
  EXPECT_NE(Corpus::open(options)->digest(), before);
}

}  // namespace
}  // namespace skarv
