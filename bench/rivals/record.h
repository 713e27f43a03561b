// Outcomes of contests as lines of a file, so that a round of hours can be interrupted, and as rows
// of a table.
#pragma once

#include <string>

#include "rivals/arena.h"

namespace skarv {

// Tab separated: cluster, model, then the outcome's figures.
std::string line_of(const Contest& contest, const Outcome& outcome);
// What the file's last line for the contest says; nothing known if there is none.
Outcome known_outcome(const std::string& file, const Contest& contest);

// Markdown.
std::string table_head();
std::string row_of(const Contest& contest, const Outcome& outcome, int num_wanted);

}  // namespace skarv
