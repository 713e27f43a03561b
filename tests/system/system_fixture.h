// A whole run of the programs in a folder of its own: tokens, run file, cluster, profile and plan
// of a tiny model on two islands of two devices each, `skarv train` as a child, its files and its
// processes. Every wait has a deadline; whatever still runs at the end is killed.
//
// north: two cpu devices, each with the whole model. south: a cpu and a toy device, one pipeline
// of two stages. The coordinator stands in north's site, so what passes the relay is what south
// sends and receives.
#pragma once

#include <gtest/gtest.h>
#include <sys/types.h>

#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/json.h"

namespace skarv::testing {

// Samples of a step, of which each island takes half.
inline constexpr int64_t kGlobalBatch = 64;

struct RunShape {
  int64_t steps = 100, inner_steps = 10;
  int64_t overlap_steps = 2;
  uint64_t seed = 7;
  double detection_seconds = 2;
  double round_budget_seconds = 30;
  int64_t checkpoint_every_rounds = 4;
  std::string exchange;        // more lines of [exchange]
  double step_seconds = 0.02;  // what pacing makes of a step, about
  std::string bandwidth = "100 Mbit/s", round_trip = "20 ms";
  bool plain = false;  // without TLS
};

// A row of the coordinator's ledger.
struct LedgerRound {
  int64_t round = 0;
  Json record;
  std::string chain;
  bool operator==(const LedgerRound&) const = default;
};

class SystemRun {
 public:
  // Writes the inputs. Tokens are made once for all runs of this process.
  SystemRun(const RunShape& shape, const std::string& name);
  ~SystemRun();  // kills what runs; removes the folder unless the test failed

  void start(const std::vector<std::string>& more = {});  // skarv train
  bool running();
  void signal(int number);  // to skarv train
  // The exit code of skarv train; negative: the signal that ended it. Nothing at the deadline.
  std::optional<int> wait(Duration limit);
  // Polls until `done`; false when the limit is up or skarv train has ended before.
  bool wait_for(const std::function<bool()>& done, Duration limit);

  std::filesystem::path folder() const { return folder_; }  // with run.toml and so on
  std::filesystem::path out() const { return folder_ / "out"; }
  // Null while a file is not there (or is no JSON).
  Json read(const std::string& file) const;
  Json report(const std::string& island) const { return read(island + "/report.json"); }
  Json coordinator_status() const { return read("coordinator/status.json"); }
  Json closing() const { return read("closing.json"); }
  // Lines of an events.jsonl whose "what" is this; `who`: coordinator, an island, or "" (skarv
  // train's own).
  std::vector<Json> events(const std::string& who, const std::string& what) const;
  int64_t steps_done(const std::string& island) const;  // by its newest event; 0: none yet
  // Committed rounds; also while the coordinator runs (reads a copy).
  std::vector<LedgerRound> ledger() const;

  pid_t process(const std::string& name) const;  // of processes.json; -1: unknown
  std::vector<pid_t> workers(const std::string& island) const;
  // "cut both", "heal both", "stats"... to the relay between the islands; its answer.
  std::string relay(const std::string& command) const;
  // What the programs said last: for messages of failed tests.
  std::string last_words() const;

 private:
  std::filesystem::path folder_;
  std::vector<std::string> command_;
  pid_t pid_ = -1;
  std::optional<int> exit_;
};

// The folder of tokens that all runs of this process share.
const std::filesystem::path& shared_tokens();
// An empty folder for this process.
std::filesystem::path fresh_folder(const std::string& name);
// Runs a program to its end; its exit code, or nothing when it was killed at the limit.
std::optional<int> run_program(const std::vector<std::string>& command,
                               const std::filesystem::path& log, Duration limit);
// True while a process with this id is there and no zombie.
bool lives(pid_t pid);
// Lines of the events.jsonl of this folder whose "what" is this, oldest first.
std::vector<Json> events_of(const std::filesystem::path& folder, const std::string& what);

// --- what must hold at the end of every run
// Whatever was killed, trained again or leased again: no sample stands in two contributions, each
// contribution has all samples of its steps, and those samples are all that the coordinator counts
// as used.
::testing::AssertionResult each_sample_counted_once(const std::vector<LedgerRound>& ledger,
                                                    const Json& coordinator_status);
// Every round of `before` is in `after`, unchanged; rounds are 1, 2, 3...; each record names the
// chain of the one before.
::testing::AssertionResult nothing_lost(const std::vector<LedgerRound>& before,
                                        const std::vector<LedgerRound>& after);

}  // namespace skarv::testing
