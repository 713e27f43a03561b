// Names that people give to runs, sites, hosts and islands. They become parts of "site/host/index",
// of folders, of certificates and of command lines, so they are kept to what is plain in all of
// these.
#pragma once

#include <string>
#include <string_view>

#include "spec/problem.h"

namespace skarv {

// 1 to 63 letters, digits, dashes, dots and underscores; neither a dash nor a dot in front. `what`
// says whose name it is: "a host".
MaybeProblem problem_of_name(std::string path, const char* what, std::string_view name);

// 1 to 64 letters, digits, dashes, dots, underscores and slashes: it stands in certificates.
MaybeProblem problem_of_run_name(std::string path, std::string_view name);

// problem_of_name for what owns a folder of a run: no name that a run gives to a folder or a party
// of its own. Islands over several sites join their names with "+".
MaybeProblem problem_of_site_name(std::string path, std::string_view name);
MaybeProblem problem_of_island_name(std::string path, std::string_view name);

}  // namespace skarv
