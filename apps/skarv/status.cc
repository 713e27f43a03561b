// skarv status: where a run stands, from what its processes last wrote.
#include <CLI/CLI.hpp>
#include <cstdio>

#include "base/file.h"
#include "base/text.h"
#include "island_progress.h"
#include "verb.h"

namespace skarv {

namespace {

struct StatusFlags {
  std::string folder;
  bool json = false;
};

// The file is another process's: what it lacks is left out.
std::string line_of(const Json& coordinator) {
  std::string line = "coordinator:";
  const auto number = [&](const char* key, const char* what) {
    if (!coordinator.is_object() || !coordinator.contains(key)) return;
    const Json& value = coordinator[key];
    if (value.is_number_integer()) line += cat(" ", value.get<int64_t>(), " ", what);
  };
  number("committed", "rounds committed,");
  number("samples_used", "samples counted");
  if (coordinator.is_object() && coordinator.contains("state_root") &&
      coordinator["state_root"].is_string()) {
    line += ", state root " + coordinator["state_root"].get<std::string>().substr(0, 16);
  }
  return line;
}

Status show_status(const StatusFlags& flags) {
  const std::filesystem::path folder = flags.folder;
  const auto coordinator = read_json(folder / "coordinator" / "status.json");
  if (!coordinator.ok()) {
    return coordinator.status().with_hint("give the folder of skarv train --out");
  }
  Json json = {{"coordinator", *coordinator}, {"islands", Json::array()}};
  std::vector<std::vector<std::string>> rows = {
      {"island", "steps", "rounds", "loss", "tok/s", "WAN sent", "restarts", "awaits"}};
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(folder, ignored)) {
    const auto progress = read_progress(entry.path() / "report.json");
    if (!progress.ok()) continue;
    json["islands"].push_back(to_json(*progress));
    const double rate =
        progress->seconds > 0 ? static_cast<double>(progress->tokens) / progress->seconds : 0;
    rows.push_back({progress->island, cat(progress->steps), cat(progress->rounds),
                    fixed(progress->loss, 3), fixed(rate, 0),
                    human_bytes(static_cast<double>(progress->wan_sent)),
                    cat(progress->worker_restarts + progress->agent_starts - 1), progress->awaits});
  }
  if (flags.json) {
    std::printf("%s\n", json.dump(2).c_str());
  } else {
    std::printf("%s", format_table(rows).c_str());
    std::printf("%s\n", line_of(*coordinator).c_str());
  }
  return Status();
}

}  // namespace

void add_status(CLI::App& app, VerbAction& action) {
  auto flags = std::make_shared<StatusFlags>();
  CLI::App* verb = app.add_subcommand("status", "where a run stands");
  verb->add_option("folder", flags->folder, "of skarv train --out")->required();
  verb->add_flag("--json", flags->json, "print JSON");
  verb->footer("Example: skarv status runs/demo");
  verb->callback([flags, &action] { action = [flags] { return show_status(*flags); }; });
}

}  // namespace skarv
