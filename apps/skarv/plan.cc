// skarv plan: cluster, model and profile become the fastest plan that fits, with its figures.
#include <CLI/CLI.hpp>
#include <cstdio>

#include "base/file.h"
#include "base/text.h"
#include "inputs.h"
#include "plan/search/planner.h"
#include "verb.h"

namespace skarv {

namespace {

struct PlanFlags {
  std::string run, cluster, profile, plan, output = "plan.json", data;
  bool json = false;
};

Status plan(const PlanFlags& flags) {
  SKARV_ASSIGN(const RunInput input, read_run_input(flags.run, flags.data));
  SKARV_ASSIGN(const Cluster cluster, read_cluster(flags.cluster));
  SKARV_ASSIGN(const Profile profile, read_profile_input(flags.profile, input.run.model));
  PlanReport report;
  if (flags.plan.empty()) {
    auto made = make_plan(input.run, cluster, profile);
    if (!made.ok()) return made.status().wrap(cat(flags.cluster, " with ", flags.profile));
    report = std::move(*made);
    SKARV_TRY(write_file_atomic(flags.output, to_json(report.plan).dump(1) + "\n"));
  } else {
    SKARV_ASSIGN(const Plan given, read_plan_input(flags.plan, input.run, cluster));
    auto priced = price_plan(given, input.run, cluster, profile);
    if (!priced.ok()) return priced.status().wrap(cat(flags.plan, " with ", flags.profile));
    report = std::move(*priced);
  }
  if (flags.json) {
    std::printf("%s\n", to_json(report).dump(2).c_str());
    return Status();
  }
  std::printf("%s", to_table(report).c_str());
  if (flags.plan.empty()) std::printf("plan: %s\n", flags.output.c_str());
  return Status();
}

}  // namespace

void add_plan(CLI::App& app, VerbAction& action) {
  auto flags = std::make_shared<PlanFlags>();
  CLI::App* verb = app.add_subcommand("plan", "find the fastest plan that fits, and its figures");
  verb->add_option("run", flags->run, "run file (TOML)")->required();
  verb->add_option("--cluster", flags->cluster, "cluster file (TOML)")->required();
  verb->add_option("--profile", flags->profile, "profile (JSON) of skarv probe")->required();
  verb->add_option("--price", flags->plan, "only price this plan (JSON), also one written by hand");
  verb->add_option("--data", flags->data, "data folder, instead of the run file's");
  verb->add_option("--out", flags->output, "the plan (JSON)")->capture_default_str();
  verb->add_flag("--json", flags->json, "print plan and figures as JSON");
  verb->footer(
      "Example: skarv plan run.toml --cluster cluster.toml --profile profile.json --out plan.json");
  verb->callback([flags, &action] { action = [flags] { return plan(*flags); }; });
}

}  // namespace skarv
