// skarv plan: cluster, model and profile become the fastest plan that fits, with its figures.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <set>

#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"
#include "fit.h"
#include "inputs.h"
#include "plan/cost/roofline.h"
#include "plan/search/planner.h"
#include "plan/search/replan.h"
#include "verb.h"

namespace skarv {

namespace {

struct PlanFlags {
  std::string run, cluster, profile, plan, from, output = "plan.json", data;
  std::vector<std::string> schedules;
  double budget_seconds = 0;
  bool thorough = false;
  bool json = false, trainable = false;
};

constexpr double kQuietSeconds = 2;
constexpr double kLeastBudget = 0.001, kMostBudget = 1e6;  // seconds

// The model of a run whose data is not there yet is enough to plan with.
Result<Run> read_plan_run(const PlanFlags& flags) {
  SKARV_ASSIGN(const Run run, read_run(flags.run));
  const bool has_data = !flags.data.empty() || std::filesystem::exists(run.data.folder);
  if (run.model.vocabulary > 0 && !has_data) return run;
  SKARV_ASSIGN(const RunInput input, read_run_input(flags.run, flags.data));
  return input.run;
}

// Measured, or, without a file, estimated from the catalog.
Result<Profile> profile_of(const PlanFlags& flags, const Run& run, const Cluster& cluster) {
  if (!flags.profile.empty()) return read_profile_input(flags.profile, run.model);
  std::set<std::string> chips;
  for (const Site& site : cluster.sites) {
    for (const HostGroup& host : site.hosts) {
      for (const DeviceGroup& group : host.devices) chips.insert(group.chip);
    }
  }
  return estimate_profile(run, {chips.begin(), chips.end()});
}

PlannerLimits limits_of(const PlanFlags& flags) {
  PlannerLimits limits = flags.trainable ? trainer_limits() : PlannerLimits();
  limits.budget_seconds = flags.budget_seconds;
  limits.thorough = flags.thorough;
  limits.schedules = flags.schedules;
  const Time began = Clock::real().now();
  limits.progress = [began](double done, double best_step_seconds) {
    if (isatty(STDERR_FILENO) == 0) return;
    if (to_seconds(Clock::real().now() - began) < kQuietSeconds) return;
    std::fprintf(stderr, "\rsearching, %.0f %%, best step so far %s   ", 100 * done,
                 best_step_seconds > 0 ? human_seconds(best_step_seconds).c_str() : "none");
    if (done >= 1) std::fprintf(stderr, "\n");
  };
  return limits;
}

// What a person reads below the table.
Json change_of(const Replanned& replanned) {
  return {
      {"choice", name_of(replanned.choice)},    {"reason", replanned.reason},
      {"moved_bytes", replanned.moved_bytes},   {"move_seconds", replanned.move_seconds},
      {"gain_seconds", replanned.gain_seconds}, {"pays_after_steps", replanned.pays_after_steps}};
}

Status plan(const PlanFlags& flags) {
  if (std::isnan(flags.budget_seconds)) {  // which a range lets pass
    return config_error("--budget is not a number")
        .at("skarv plan")
        .with_hint("give CPU seconds, or leave it out");
  }
  SKARV_ASSIGN(const Run run, read_plan_run(flags));
  SKARV_ASSIGN(const Cluster cluster, read_cluster(flags.cluster));
  SKARV_ASSIGN(const Profile profile, profile_of(flags, run, cluster));
  const std::string inputs =
      cat(flags.cluster, flags.profile.empty() ? "" : " with " + flags.profile);
  PlanReport report;
  std::string change;
  Json json_change;
  std::string overflow;  // a plan need not fit to be priced
  if (!flags.from.empty()) {
    SKARV_ASSIGN(const Plan running, read_plan(flags.from));
    auto replanned = replan(running, run, cluster, profile, limits_of(flags));
    if (!replanned.ok()) return replanned.status().wrap(inputs);
    report = std::move(replanned->report);
    change = to_text(*replanned);
    json_change = change_of(*replanned);
  } else if (flags.plan.empty()) {
    auto made = make_plan(run, cluster, profile, limits_of(flags));
    if (!made.ok()) return made.status().wrap(inputs);
    report = std::move(*made);
  } else {
    SKARV_ASSIGN(const Plan given, read_plan_input(flags.plan, run, cluster));
    auto priced = price_plan(given, run, cluster, profile);
    if (!priced.ok()) return priced.status().wrap(cat(flags.plan, " with ", inputs));
    report = std::move(*priced);
    if (const Status fits = check_fits(report, cluster); !fits.ok()) overflow = fits.message();
  }
  if (flags.plan.empty()) {
    SKARV_TRY(write_file_atomic(flags.output, to_json(report.plan).dump(1) + "\n"));
  }
  if (flags.json) {
    Json json = to_json(report);
    json["overflow"] = overflow;
    if (!json_change.is_null()) json["change"] = std::move(json_change);
    std::printf("%s\n", json.dump(2).c_str());
    return Status();
  }
  std::printf("%s%s", to_table(report).c_str(), change.c_str());
  if (!overflow.empty()) std::printf("does not fit: %s\n", overflow.c_str());
  if (flags.plan.empty()) std::printf("plan: %s\n", flags.output.c_str());
  return Status();
}

}  // namespace

void add_plan(CLI::App& app, VerbAction& action) {
  auto flags = std::make_shared<PlanFlags>();
  CLI::App* verb = app.add_subcommand("plan", "find the fastest plan that fits, and its figures");
  verb->add_option("run", flags->run, "run file (TOML)")->required();
  verb->add_option("--cluster", flags->cluster, "cluster file (TOML)")->required();
  verb->add_option(
      "--profile", flags->profile,
      "profile (JSON) of skarv probe, or FOLDER:MODEL of tables; without one times are estimated "
      "from the catalog");
  CLI::Option* price =
      verb->add_option("--price", flags->plan, "only price this plan (JSON), also one by hand");
  verb->add_option("--from", flags->from,
                   "the plan (JSON) that runs now: weigh what a change would move against its gain")
      ->excludes(price);
  verb->add_option("--data", flags->data, "data folder, instead of the run file's");
  verb->add_option("--out", flags->output, "the plan (JSON)")->capture_default_str();
  verb->add_flag("--thorough", flags->thorough, "refine the plan for up to half a minute more");
  verb->add_option("--budget", flags->budget_seconds, "CPU seconds; then the best so far is taken")
      ->check(CLI::Range(kLeastBudget, kMostBudget));
  verb->add_option("--schedule", flags->schedules, "only this schedule (may be repeated)")
      ->allow_extra_args(false)
      ->check(CLI::IsMember({"1f1b", "zero-bubble"}));
  verb->add_flag("--trainable", flags->trainable, "only what `skarv train` can run today");
  verb->add_flag("--json", flags->json, "print plan and figures as JSON");
  verb->footer("Example: skarv plan run.toml --cluster cluster.toml --out plan.json");
  verb->callback([flags, &action] { action = [flags] { return plan(*flags); }; });
}

}  // namespace skarv
