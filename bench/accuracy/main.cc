// skarv-accuracy [--data FOLDER] [--constants FILE] [--set NAME] [--json | --rows]
// Prices runs that others measured; prints mean, median, worst error and rank correlation by set.
#include <cstring>
#include <functional>
#include <iostream>

#include "accuracy/sets.h"
#include "base/text.h"

namespace skarv::accuracy {
namespace {

struct Arguments {
  std::filesystem::path data = SKARV_VALIDATION_FOLDER, constants;
  std::string set;
  bool json = false, rows = false;
};

Result<Arguments> arguments_of(int argc, char** argv) {
  Arguments arguments;
  for (int i = 1; i < argc; ++i) {
    const std::string flag = argv[i];
    if (flag == "--json") {
      arguments.json = true;
    } else if (flag == "--rows") {
      arguments.rows = true;
    } else if (i + 1 < argc && flag == "--data") {
      arguments.data = argv[++i];
    } else if (i + 1 < argc && flag == "--constants") {
      arguments.constants = argv[++i];
    } else if (i + 1 < argc && flag == "--set") {
      arguments.set = argv[++i];
    } else {
      return config_error(cat("no argument ", flag))
          .with_hint(
              "skarv-accuracy [--data FOLDER] [--constants FILE] [--set NAME] "
              "[--json | --rows]");
    }
  }
  return arguments;
}

std::string percent(double fraction) { return fixed(100 * fraction, 1) + " %"; }

Json to_json(const Set& set) {
  Json rows = Json::array();
  for (const Row& row : set.rows) {
    rows.push_back({{"label", row.label},
                    {"measured", row.measured_s},
                    {"predicted", row.predicted_s},
                    {"judged", row.judged}});
  }
  return {{"set", set.name}, {"rows", std::move(rows)}};
}

std::vector<std::string> line_of(const Set& set) {
  const Figures figures = figures_of(set);
  return {set.name,
          cat(figures.count),
          percent(figures.mean),
          percent(figures.median),
          percent(figures.worst),
          fixed(figures.rank, 3)};
}

void print_rows(const Set& set) {
  std::vector<std::vector<std::string>> table = {{set.name, "measured", "predicted", "error", ""}};
  for (const Row& row : set.rows) {
    table.push_back({row.label, human_seconds(row.measured_s), human_seconds(row.predicted_s),
                     percent(row.error()), row.judged ? "" : "not judged"});
  }
  std::cout << format_table(table) << "\n";
}

Status run(const Arguments& arguments) {
  Constants constants = Constants::built_in();
  if (!arguments.constants.empty()) {
    SKARV_ASSIGN(const Json json, read_json(arguments.constants));
    SKARV_ASSIGN(constants, Constants::from_json(json, arguments.constants.string()));
  }
  const std::vector<std::pair<std::string, std::function<Result<Set>()>>> sets = {
      {"mixed-rtx", [&] { return mixed_rtx(arguments.data); }},
      {"a100-multi-node", [&] { return a100_multi_node(arguments.data, constants); }},
      {"a100-single-node", [&] { return a100_single_node(arguments.data, constants); }},
      {"v100-t4", [&] { return v100_t4(arguments.data, constants); }}};
  std::vector<std::vector<std::string>> table = {
      {"set", "runs", "mean", "median", "worst", "rank correlation"}};
  Json json = Json::array();
  std::vector<std::string> known;
  for (const auto& [name, price] : sets) {
    known.push_back(name);
    if (!arguments.set.empty() && arguments.set != name) continue;
    SKARV_ASSIGN(const Set set, price());
    if (arguments.json) json.push_back(to_json(set));
    if (arguments.rows) print_rows(set);
    table.push_back(line_of(set));
  }
  if (table.size() == 1) {
    return config_error(cat("no set ", arguments.set)).with_hint("sets: " + join(known, ", "));
  }
  std::cout << (arguments.json ? json.dump(1) + "\n" : format_table(table));
  return {};
}

}  // namespace
}  // namespace skarv::accuracy

int main(int argc, char** argv) {
  using namespace skarv::accuracy;
  const auto arguments = arguments_of(argc, argv);
  const skarv::Status status = arguments.ok() ? run(*arguments) : arguments.status();
  if (status.ok()) return 0;
  std::cerr << status << "\n";
  return 1;
}
