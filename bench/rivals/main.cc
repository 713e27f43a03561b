// skarv-rivals [--mutations N] [--seconds S] [--only WORD] [--results FILE]: the planner's answer
// beside rivals and random changes to it, contest by contest. Contests that FILE has already are
// not held again, so that a long round can be interrupted. Exit code 1: one was lost.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <fstream>
#include <map>

#include "base/text.h"
#include "rivals/arena.h"

namespace skarv {
namespace {

constexpr char kHeader[] =
    "cluster\tmodel\tours, s\tbest rival, s\trival\tbest change, s\tplayed\tverdict";

std::string seconds(int64_t ns) { return ns == 0 ? "-" : fixed(static_cast<double>(ns) * 1e-9, 6); }

std::string line_of(const Contest& contest, const Outcome& outcome) {
  std::string verdict = outcome.is_won() ? "held" : "LOST";
  if (outcome.num_broken > 0) verdict += cat(", ", outcome.num_broken, " broken: ", outcome.broken);
  if (outcome.mutation_ns > 0 && outcome.mutation_ns < outcome.ours_ns) {
    verdict += cat(" to ", outcome.mutation);
  }
  return cat(contest.cluster, "\t", contest.model, "\t", seconds(outcome.ours_ns), "\t",
             seconds(outcome.rival_ns), "\t", outcome.rival, "\t", seconds(outcome.mutation_ns),
             "\t", outcome.num_rivals, " + ", outcome.num_mutations, "\t", verdict);
}

std::map<std::string, std::string> known_lines(const std::string& file) {
  std::map<std::string, std::string> known;
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) {
    const size_t end = line.find('\t', line.find('\t') + 1);
    if (end != std::string::npos) known[line.substr(0, end)] = line;
  }
  return known;
}

int run(int argc, char** argv) {
  ContestLimits limits;
  std::string only, results;
  CLI::App app("the planner's answer beside rivals and random changes to it");
  app.add_option("--mutations", limits.num_mutations, "random changes a contest");
  app.add_option("--seconds", limits.seconds, "CPU seconds for rivals, and for changes; 0: all");
  app.add_option("--only", only, "contests whose name has this word");
  app.add_option("--results", results, "file of lines so far; what it has is not played again");
  CLI11_PARSE(app, argc, argv);
  const bool is_terminal = isatty(STDERR_FILENO) != 0;
  limits.progress = [is_terminal](const std::string& text) {
    if (is_terminal) std::fprintf(stderr, "\r%-78s", text.c_str());
  };
  std::map<std::string, std::string> known = known_lines(results);
  std::printf("%s\n", kHeader);
  bool is_lost = false;
  for (const Contest& contest : contests()) {
    const std::string name = cat(contest.cluster, "\t", contest.model);
    if (name.find(only) == std::string::npos) continue;
    std::string& line = known[name];
    if (line.empty()) {
      const Result<Outcome> outcome = hold(contest, SKARV_BENCH_FOLDER, limits);
      line = outcome.ok() ? line_of(contest, *outcome)
                          : cat(name, "\t-\t-\t\t-\t\tLOST: ", outcome.status().to_string());
      if (!results.empty()) std::ofstream(results, std::ios::app) << line << "\n";
    }
    is_lost |= line.find("\tLOST") != std::string::npos;
    std::printf("%s%s\n", is_terminal ? "\r" : "", line.c_str());
    std::fflush(stdout);
  }
  return is_lost ? 1 : 0;
}

}  // namespace
}  // namespace skarv

int main(int argc, char** argv) { return skarv::run(argc, argv); }
