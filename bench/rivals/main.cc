// skarv-rivals [--changes N] [--seconds S] [--only WORD] [--results FILE]: the planner's answer
// beside rivals and random changes to it, contest by contest, as a table. FILE keeps what was found
// up to a minute ago: started again, it goes on from there. Exit code 1: a contest was lost.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <fstream>

#include "base/text.h"
#include "rivals/record.h"

namespace skarv {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kBetweenRecords = std::chrono::seconds(60);

void record(const std::string& file, const std::string& line) {
  if (!file.empty()) std::ofstream(file, std::ios::app) << line << "\n";
}

int run(int argc, char** argv) {
  ContestLimits limits;
  std::string only, results;
  CLI::App app("the planner's answer beside rivals and random changes to it");
  app.add_option("--changes", limits.num_changes, "random changes a contest, valid ones");
  app.add_option("--seconds", limits.seconds, "CPU seconds a contest; 0: all");
  app.add_option("--only", only, "contests whose cluster and model have this word");
  app.add_option("--results", results, "file of what is known so far, and added to");
  CLI11_PARSE(app, argc, argv);
  const bool is_terminal = isatty(STDERR_FILENO) != 0;
  std::printf("%s\n", table_head().c_str());
  bool is_lost = false;
  for (const Contest& contest : contests()) {
    const std::string name = cat(contest.cluster, " ", contest.model);
    if (name.find(only) == std::string::npos) continue;
    auto last_record = Clock::now();
    limits.progress = [&](const Outcome& outcome) {
      if (is_terminal) {
        std::fprintf(stderr, "\r%s: %d rivals, %d changes ", name.c_str(), outcome.num_rivals,
                     outcome.num_changes);
      }
      if (Clock::now() - last_record < kBetweenRecords) return;
      last_record = Clock::now();
      record(results, line_of(contest, outcome));
    };
    const Result<Outcome> outcome =
        hold(contest, SKARV_BENCH_FOLDER, limits, known_outcome(results, contest));
    if (is_terminal) std::fprintf(stderr, "\r");
    if (!outcome.ok()) {
      std::printf("%s: %s\n", name.c_str(), outcome.status().to_string().c_str());
      is_lost = true;
      continue;
    }
    record(results, line_of(contest, *outcome));
    is_lost |= !outcome->is_won();
    std::printf("%s\n", row_of(contest, *outcome, limits.num_changes).c_str());
    std::fflush(stdout);
  }
  return is_lost ? 1 : 0;
}

}  // namespace
}  // namespace skarv

int main(int argc, char** argv) { return skarv::run(argc, argv); }
