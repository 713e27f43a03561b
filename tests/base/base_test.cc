#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "base/digest.h"
#include "base/events.h"
#include "base/file.h"
#include "base/json.h"
#include "base/random.h"
#include "base/text.h"
#include "support/temporary_folder.h"

namespace skarv {
namespace {

TEST(StatusTest, SaysWhatWhereWhyAndWhatToDo) {
  const Status status =
      config_error("unknown key 'sede'").at("run.toml:3").with_hint("did you mean 'seed'?");
  EXPECT_FALSE(status.ok());
  EXPECT_EQ(
      status.to_string(),
      "invalid argument (config) at run.toml:3: unknown key 'sede'\n  hint: did you mean 'seed'?");
}

TEST(DigestTest, KnownValueAndMerkleOrder) {
  EXPECT_EQ(digest_of("abc").hex(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  const Digest a = digest_of("a"), b = digest_of("b");
  const std::vector<Digest> ab{a, b}, ba{b, a};
  EXPECT_NE(merkle_root(ab), merkle_root(ba));
  EXPECT_NE(merkle_root({&a, 1}), a) << "a leaf is never its own root";
}

TEST(RandomTest, PhiloxMatchesThePublishedVectors) {
  // Known-answer vectors of Random123 for philox4x32-10.
  EXPECT_EQ(philox({0, 0}, {0, 0, 0, 0}),
            (PhiloxBlock{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox({0xa4093822, 0x299f31d0}, {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}),
            (PhiloxBlock{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(RandomTest, NormalHasMeanZeroAndVarianceOne) {
  const CounterRandom random(7, "x");
  double sum = 0, squares = 0;
  for (int i = 0; i < 100000; ++i) {
    const double value = random.normal(i);
    sum += value;
    squares += value * value;
  }
  EXPECT_NEAR(sum / 100000, 0, 0.02);
  EXPECT_NEAR(squares / 100000, 1, 0.02);
}

TEST(TextTest, NearestNameAndFigures) {
  EXPECT_EQ(nearest_name("lerning_rate", {"learning_rate", "momentum"}), "learning_rate");
  EXPECT_EQ(nearest_name("zzz", {"learning_rate"}), "");
  EXPECT_EQ(human_bytes(1500000), "1.50 MB");
  EXPECT_EQ(human_seconds(0.0123), "12.3 ms");
}

TEST(JsonTest, ErrorNamesTheLine) {
  const auto parsed = parse_json("{\n \"a\": 1,\n oops\n}", "plan.json");
  ASSERT_FALSE(parsed.ok());
  EXPECT_EQ(parsed.status().origin(), "plan.json:3");
  EXPECT_EQ(parse_json("[1e999]", "plan.json").status().code(), Code::kInvalidArgument);
}

// As deep as a peer likes: neither the parser nor a copy may recurse into it.
TEST(JsonTest, EndlessNestingIsRefused) {
  const std::string deep = std::string(300'000, '[') + std::string(300'000, ']');
  for (const std::string& text : {deep, "{\"a\": " + deep + ", \"b\": 1}",
                                  "[[{\"a\": {\"b\": " + deep + "}}], {\"c\": 1}]"}) {
    const auto parsed = parse_json(text, "peer");
    ASSERT_FALSE(parsed.ok());
    EXPECT_EQ(parsed.status().message(), "values are nested more than 100 deep");
    EXPECT_EQ(parsed.status().origin(), "peer");
  }
  std::string objects;
  for (int i = 0; i < 100'000; ++i) objects += "{\"a\":";
  EXPECT_FALSE(parse_json(objects + "1" + std::string(100'000, '}'), "peer").ok());
  EXPECT_TRUE(parse_json(std::string(99, '[') + std::string(99, ']'), "peer").ok());
}

TEST(JsonTest, AMemberStandsOnce) {
  const auto twice =
      parse_json(R"({"a": 1, "b": [{"c": 1}, {"c": 2}], "b2": {"a": 3, "a": 4}})", "x");
  ASSERT_FALSE(twice.ok());
  EXPECT_EQ(twice.status().message(), "\"a\" stands twice in one object");
  EXPECT_TRUE(parse_json(R"({"a": 1, "b": [{"a": 1}, {"a": 2}]})", "x").ok());
}

TEST(FileTest, AtomicWriteAndMissingFile) {
  const auto folder =
      std::filesystem::temp_directory_path() / ("skarv_base_" + std::to_string(getpid()));
  ASSERT_TRUE(make_directories(folder).ok());
  ASSERT_TRUE(write_file_atomic(folder / "x", "hello").ok());
  EXPECT_EQ(*read_file(folder / "x"), "hello");
  const auto missing = read_file(folder / "y");
  EXPECT_EQ(missing.status().code(), Code::kNotFound);
  EXPECT_NE(missing.status().to_string().find("/y"), std::string::npos);
  std::filesystem::remove_all(folder);
}

// What --out /dev/null or /dev/stdout would do to the machine.
TEST(FileTest, WhatIsNoFileIsWrittenThroughAndStays) {
  const auto folder =
      std::filesystem::temp_directory_path() / ("skarv_base_through_" + std::to_string(getpid()));
  ASSERT_TRUE(make_directories(folder).ok());
  ASSERT_TRUE(write_file_atomic(folder / "x", "a long old text").ok());
  std::filesystem::create_symlink("x", folder / "link");
  ASSERT_TRUE(write_file_atomic(folder / "link", "new").ok());
  EXPECT_TRUE(std::filesystem::is_symlink(folder / "link"));
  EXPECT_EQ(*read_file(folder / "x"), "new");

  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  const FileHandle reader(::open((folder / "pipe").c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  ASSERT_TRUE(reader);
  ASSERT_TRUE(write_file_atomic(folder / "pipe", "hello").ok());
  EXPECT_TRUE(std::filesystem::is_fifo(folder / "pipe"));
  char text[8] = {};
  EXPECT_EQ(::read(reader.get(), text, sizeof text), 5);
  EXPECT_STREQ(text, "hello");
  std::filesystem::remove_all(folder);
}

TEST(EventsTest, KeepsTheLastWords) {
  VirtualClock clock;
  EventLog log("north/a", clock);
  clock.advance(std::chrono::seconds(2));
  log.write("round", {{"n", 3}});
  ASSERT_EQ(log.recent(5).size(), 1u);
  EXPECT_EQ(Json::parse(log.recent(5)[0])["t"], 2.0);
}

TEST(EventsTest, ALineTornByAFullDiskTakesNoOtherWithIt) {
  TemporaryFolder folder;
  const std::filesystem::path path = folder.path() / "events.jsonl";
  {
    EventLog log("a");
    ASSERT_TRUE(log.open(path).ok());
    log.write("whole");
    {
      FullDisk disk(std::filesystem::file_size(path) + 7);
      log.write("torn");
    }
    log.write("after");
    FullDisk disk(std::filesystem::file_size(path) + 7);
    log.write("torn");
    EXPECT_EQ(log.num_lost(), 2);
  }
  EventLog restarted("a");
  ASSERT_TRUE(restarted.open(path).ok());
  restarted.write("restarted");
  std::vector<std::string> read;
  for (const std::string& line : split(read_file(path).value(), '\n')) {
    const auto event = parse_json(line, "events");
    if (event.ok()) read.push_back((*event)["what"]);
  }
  EXPECT_EQ(read, (std::vector<std::string>{"whole", "after", "restarted"}));
}

}  // namespace
}  // namespace skarv
