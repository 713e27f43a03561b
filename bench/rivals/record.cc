#include "rivals/record.h"

#include <fstream>
#include <sstream>

#include "base/text.h"

namespace skarv {
namespace {

std::string seconds(int64_t ns) { return ns == 0 ? "-" : fixed(static_cast<double>(ns) * 1e-9, 6); }

std::string times_ours(int64_t ns, const Outcome& outcome) {
  if (ns == 0) return "-";
  return fixed(static_cast<double>(ns) / static_cast<double>(outcome.ours_ns), 5);
}

// All figures in the order of a line.
template <typename Visit>
void visit_figures(Outcome& outcome, Visit visit) {
  visit(outcome.ours_ns);
  visit(outcome.next_rival);
  visit(outcome.num_rivals);
  visit(outcome.rival_ns);
  visit(outcome.num_tried);
  visit(outcome.num_changes);
  visit(outcome.num_dismissed);
  visit(outcome.num_alike);
  visit(outcome.num_unfit);
  visit(outcome.num_simulated);
  visit(outcome.num_faster);
  visit(outcome.change_ns);
  visit(outcome.change_seed);
  visit(outcome.num_broken);
}

std::string verdict_of(const Outcome& outcome, int num_wanted) {
  std::string verdict = outcome.is_won() ? "held" : "LOST";
  if (outcome.num_faster > 0) verdict += cat(" to change ", outcome.change_seed);
  if (outcome.rival_ns > 0 && outcome.rival_ns < outcome.ours_ns) verdict += " to a rival";
  if (outcome.num_broken > 0) verdict += cat(", ", outcome.num_broken, " broken: ", outcome.broken);
  if (!outcome.is_done(num_wanted)) verdict += ", not finished";
  return verdict;
}

}  // namespace

std::string line_of(const Contest& contest, const Outcome& outcome) {
  std::string line = cat(contest.cluster, "\t", contest.model);
  Outcome copy = outcome;
  visit_figures(copy, [&](auto& figure) { line += cat("\t", figure); });
  return cat(line, "\t", outcome.rival, "\t", outcome.broken);
}

Outcome known_outcome(const std::string& file, const Contest& contest) {
  Outcome last;
  std::ifstream in(file);
  const std::string name = cat(contest.cluster, "\t", contest.model, "\t");
  for (std::string line; std::getline(in, line);) {
    if (!line.starts_with(name)) continue;
    std::istringstream rest(line.substr(name.size()));
    Outcome outcome;
    visit_figures(outcome, [&](auto& figure) { rest >> figure; });
    if (!rest || rest.get() != '\t') continue;  // cut off while it was written
    std::getline(rest, outcome.rival, '\t');
    std::getline(rest, outcome.broken);
    last = outcome;
  }
  return last;
}

std::string table_head() {
  return "| cluster | model | ours, s | rivals | best of them | changes drawn | valid | dismissed "
         "| alike | do not fit | simulated | best of them | |\n"
         "|---|---|---|---|---|---|---|---|---|---|---|---|---|";
}

std::string row_of(const Contest& contest, const Outcome& outcome, int num_wanted) {
  const std::string rival = outcome.rival_ns == 0
                                ? "above 2"
                                : cat(times_ours(outcome.rival_ns, outcome), ": ", outcome.rival);
  return cat("| ", contest.cluster, " | ", contest.model, " | ", seconds(outcome.ours_ns), " | ",
             outcome.num_rivals, " | ", rival, " | ", outcome.num_tried, " | ", outcome.num_changes,
             " | ", outcome.num_dismissed, " | ", outcome.num_alike, " | ", outcome.num_unfit,
             " | ", outcome.num_simulated, " | ", times_ours(outcome.change_ns, outcome), " | ",
             verdict_of(outcome, num_wanted), " |");
}

}  // namespace skarv
