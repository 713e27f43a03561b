// skarv-rivals [--changes N] [--seconds S] [--thorough] [--only WORD] [--results FILE] [--plans
// FOLDER]: the planner's answer beside rivals and random changes to it, contest by contest, as a
// table. FILE
// keeps what was found up to a minute ago: started again, it goes on from there. Exit code 1: a
// contest was lost, or could not be held.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <fstream>

#include "base/file.h"
#include "base/text.h"
#include "rivals/record.h"

namespace skarv {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kBetweenRecords = std::chrono::seconds(60);

struct Flags {
  ContestLimits limits;
  std::string only, results, plans;
};

void record(const std::string& file, const std::string& line) {
  if (!file.empty()) std::ofstream(file, std::ios::app) << line << "\n";
}

// For those who want to know why: our plan, and the faster one.
Status keep_plans(const std::string& folder, const Contest& contest, const Held& held) {
  if (folder.empty()) return {};
  const std::string name = cat(folder, "/", contest.cluster, "-", contest.model);
  SKARV_TRY(write_file_atomic(name + ".json", to_json(held.ours).dump(1) + "\n"));
  if (!held.faster) return {};
  return write_file_atomic(name + "-faster.json", to_json(*held.faster).dump(1) + "\n");
}

// Whether it was won.
Result<bool> show(const Contest& contest, const Flags& flags) {
  const bool is_terminal = isatty(STDERR_FILENO) != 0;
  ContestLimits limits = flags.limits;
  auto last_record = Clock::now();
  limits.progress = [&](const Outcome& outcome) {
    if (is_terminal) {
      std::fprintf(stderr, "\r%s %s: %d rivals, %d changes ", contest.cluster.c_str(),
                   contest.model.c_str(), outcome.num_rivals, outcome.num_changes);
    }
    if (Clock::now() - last_record < kBetweenRecords) return;
    last_record = Clock::now();
    record(flags.results, line_of(contest, outcome));
  };
  SKARV_ASSIGN(const Held held,
               hold(contest, SKARV_BENCH_FOLDER, limits, known_outcome(flags.results, contest)));
  record(flags.results, line_of(contest, held.outcome));
  SKARV_TRY(keep_plans(flags.plans, contest, held));
  std::printf("%s%s\n", is_terminal ? "\r" : "",
              row_of(contest, held.outcome, limits.num_changes).c_str());
  return held.outcome.is_won();
}

int run(int argc, char** argv) {
  Flags flags;
  CLI::App app("the planner's answer beside rivals and random changes to it");
  app.add_option("--changes", flags.limits.num_changes, "random changes a contest, valid ones");
  app.add_option("--seconds", flags.limits.seconds, "CPU seconds a contest; 0: all");
  app.add_flag("--thorough", flags.limits.thorough, "plans as skarv plan --thorough does");
  app.add_option("--only", flags.only, "contests whose cluster and model have this word");
  app.add_option("--results", flags.results, "file of what is known so far, and added to");
  app.add_option("--plans", flags.plans, "folder for our plans, and for what is faster");
  CLI11_PARSE(app, argc, argv);
  std::printf("%s\n", table_head().c_str());
  bool is_lost = false;
  for (const Contest& contest : contests()) {
    const std::string name = cat(contest.cluster, " ", contest.model);
    if (name.find(flags.only) == std::string::npos) continue;
    const Result<bool> is_won = show(contest, flags);
    if (!is_won.ok()) std::printf("%s: %s\n", name.c_str(), is_won.status().to_string().c_str());
    is_lost |= !is_won.ok() || !*is_won;
    std::fflush(stdout);
  }
  return is_lost ? 1 : 0;
}

}  // namespace
}  // namespace skarv

int main(int argc, char** argv) { return skarv::run(argc, argv); }
