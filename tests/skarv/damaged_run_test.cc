// A run whose files were damaged while it stood: --resume names the place, the cause and what to
// do, and loses nothing: once the file is back, or the checkpoint before is taken, the run goes on.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <functional>

#include "base/text.h"
#include "skarv/program_fixture.h"

namespace skarv {
namespace {

namespace fs = std::filesystem;
using Spoil = std::function<void(const fs::path& run)>;

constexpr auto kDeadline = std::chrono::seconds(60);

fs::path newest_checkpoint(const fs::path& run) {
  std::vector<std::pair<size_t, fs::path>> found;
  for (const auto& entry : fs::directory_iterator(run / "north" / "checkpoints")) {
    found.emplace_back(entry.path().filename().native().size(), entry.path());
  }
  return std::max_element(found.begin(), found.end())->second;
}

void flip_byte(const fs::path& file, size_t place) {
  std::string bytes = read_text(file);
  bytes.at(place) ^= 0x10;
  write_text(file, bytes);
}

class SlowDamagedRun : public testing::Test {
 protected:
  void SetUp() override {
    if (!fs::exists(worker_path())) {
      GTEST_SKIP() << "skarv-worker is not built (preset core)";
    }
    folder_ = fs::temp_directory_path() / cat("skarv-damaged-run-", ::getpid());
    make_good_inputs(folder_);
    edit(folder_ / "run.toml", "global_batch = 8", "global_batch = 8\ncheckpoint_every_rounds = 1");
    const ProgramEnd end = train({});
    ASSERT_EQ(end.exit_code, 0) << end.text;
    fs::rename(folder_ / "r", folder_ / "good");
  }
  void TearDown() override {
    std::error_code ignored;
    fs::remove_all(folder_, ignored);
  }
  ProgramEnd train(const std::vector<std::string>& more) const {
    std::vector<std::string> command = {
        SKARV_PROGRAM, "train",        "run.toml", "--cluster", "cluster.toml",
        "--profile",   "profile.json", "--plan",   "plan.json", "--plain",
        "--quiet",     "--out",        "r"};
    command.insert(command.end(), more.begin(), more.end());
    return run_program(command, folder_, kDeadline);
  }
  void fresh_copy() const {
    fs::remove_all(folder_ / "r");
    fs::copy(folder_ / "good", folder_ / "r", fs::copy_options::recursive);
    fs::remove(folder_ /
               "r/closing.json");  // with it the run is over, and nobody looks any further
  }
  fs::path folder_;
};

TEST_F(SlowDamagedRun, IsNamedAtResumeAndNothingIsLost) {
  struct Case {
    const char* name;
    int exit_code;
    std::vector<std::string> words;
    Spoil spoil;
  };
  const std::string log = "north/keeper/island.log";
  const std::vector<Case> cases = {
      {"shard cut off",
       4,
       {"shard-island.safetensors", "bytes instead of", "move the folder of this checkpoint away"},
       [](const fs::path& run) {
         fs::resize_file(newest_checkpoint(run) / "shard-island.safetensors", 5000);
       }},
      {"bit of a weight flipped",
       4,
       {"checkpoints/step-", "are not those that were saved", "move the folder"},
       [](const fs::path& run) {
         flip_byte(newest_checkpoint(run) / "shard-island.safetensors", 20000);
       }},
      {"manifest edited",
       4,
       {"manifest.json", "not the one that was committed", "move the folder"},
       [](const fs::path& run) {
         edit(newest_checkpoint(run) / "manifest.json", "\"round\": ", "\"round\": 1");
       }},
      {"ledger overwritten",
       4,
       {"ledger.sqlite", "restore the file from a copy"},
       [](const fs::path& run) {
         for (const char* more : {"-wal", "-shm"}) {
           fs::remove(run / cat("coordinator/ledger.sqlite", more));
         }
         write_text(run / "coordinator/ledger.sqlite", std::string(20000, 'x'));
       }},
      {"ledger gone",
       2,
       {"knows round 2", "older copy", "newest copy"},
       [](const fs::path& run) {
         // An island that has all its steps may be done before it hears of the coordinator.
         fs::remove_all(newest_checkpoint(run));
         for (const char* more : {"", "-wal", "-shm"}) {
           fs::remove(run / cat("coordinator/ledger.sqlite", more));
         }
       }},
      {"keeper log changed",
       4,
       {"island.log:", "does not continue the chain", "from a copy"},
       [log](const fs::path& run) { flip_byte(run / log, fs::file_size(run / log) / 2); }},
      {"keeper log of something else",
       4,
       {"island.log:1", "no chain digest"},
       [log](const fs::path& run) { write_text(run / log, "hello\n"); }},
      {"keeper log gone",
       4,
       {"island.log", "is empty, but the outer state is of round", "from a copy"},
       [log](const fs::path& run) { fs::remove(run / log); }},
      {"payload log of something else",
       4,
       {"payloads-", "not a payload log", "move this file away"},
       [](const fs::path& run) {
         for (const auto& file : fs::directory_iterator(run / "north/keeper/payloads")) {
           write_text(file.path(), std::string(200, 'x'));
         }
       }},
  };
  for (const Case& one : cases) {
    SCOPED_TRACE(one.name);
    fresh_copy();
    one.spoil(folder_ / "r");
    const ProgramEnd end = train({"--resume"});
    EXPECT_EQ(end.exit_code, one.exit_code) << end.text;
    for (const std::string& word : one.words) {
      EXPECT_NE(end.text.find(word), std::string::npos) << "no \"" << word << "\" in:\n"
                                                        << end.text;
    }
    EXPECT_NE(end.text.find("hint: "), std::string::npos) << end.text;
  }
  // What the message of the last but one says to do.
  fs::copy_file(folder_ / "good" / log, folder_ / "r" / log, fs::copy_options::overwrite_existing);
  fs::remove_all(folder_ / "r/north/keeper/payloads");
  fs::copy(folder_ / "good/north/keeper/payloads", folder_ / "r/north/keeper/payloads");
  const ProgramEnd back = train({"--resume"});
  EXPECT_EQ(back.exit_code, 0) << back.text;
}

TEST_F(SlowDamagedRun, GoesOnFromTheCheckpointBefore) {
  fresh_copy();
  fs::rename(newest_checkpoint(folder_ / "r"), folder_ / "away");
  const ProgramEnd end = train({"--resume"});
  EXPECT_EQ(end.exit_code, 0) << end.text;
}

// The outer weights are with the other islands too: an island takes them from there.
TEST_F(SlowDamagedRun, GoesOnWithoutAnyCheckpointOfAnIsland) {
  fresh_copy();
  fs::remove_all(folder_ / "r/north/checkpoints");
  const ProgramEnd end = train({"--resume", "--json"});
  ASSERT_EQ(end.exit_code, 0) << end.text;
  EXPECT_NE(end.text.find("\"digests_equal\": true"), std::string::npos) << end.text;
}

TEST_F(SlowDamagedRun, IsResumedByOneProcessOnly) {
  fresh_copy();
  edit(folder_ / "run.toml", "steps = 8", "steps = 8000");
  fs::remove_all(folder_ / "r");
  const BackgroundProgram first(
      {SKARV_PROGRAM, "train", "run.toml", "--cluster", "cluster.toml", "--profile", "profile.json",
       "--plan", "plan.json", "--plain", "--out", "r"},
      folder_, kDeadline);
  ASSERT_FALSE(first.first_line().empty());
  for (int i = 0; i < 500 && !fs::exists(folder_ / "r/coordinator/job.json"); ++i) ::usleep(20000);
  const ProgramEnd second = train({"--resume"});
  EXPECT_EQ(second.exit_code, 2) << second.text;
  for (const char* word : {"at r", "another process trains in this folder", "hint: "}) {
    EXPECT_NE(second.text.find(word), std::string::npos) << second.text;
  }
}

}  // namespace
}  // namespace skarv
