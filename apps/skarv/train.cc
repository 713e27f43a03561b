// skarv train: the whole run on this machine, from files to the closing table.
#include <CLI/CLI.hpp>
#include <cmath>
#include <cstdio>

#include "base/file.h"
#include "base/text.h"
#include "closing.h"
#include "export_run.h"
#include "fit.h"
#include "folder_lock.h"
#include "interrupt.h"
#include "plan/search/planner.h"
#include "probe.h"
#include "progress.h"
#include "supervisor.h"
#include "trace_file.h"
#include "verb.h"

namespace skarv {

namespace {

constexpr char kClosingFile[] = "closing.json";  // the last thing that a run writes
constexpr auto kStopPatience = std::chrono::seconds(60);
constexpr auto kLockPatience = std::chrono::seconds(2);
constexpr auto kEvaluateLimit = std::chrono::minutes(30);

struct TrainFlags {
  std::string run, cluster, profile, plan, folder = "runs/run", data;
  bool emulate_wan = false, plain = false, resume = false, trace = false, json = false,
       quiet = false;
};

// A folder may hold what belongs to a run, its tokens and its files; but what a run would put its
// own in place of stays with whoever made it.
Status check_free(const std::filesystem::path& folder) {
  for (const char* name : {"certs", "export", "wan", kClosingFile}) {
    if (!std::filesystem::exists(folder / name)) continue;
    return Status(Code::kAlreadyExists, Scope::kConfig,
                  "this is there already, and not from a run in this folder")
        .at((folder / name).string())
        .with_hint("choose another --out");
  }
  return Status();
}

// Nothing of another run is overwritten, and a resumed run is the same run.
Status check_folder(const TrainFlags& flags, const Run& run) {
  const auto job = std::filesystem::path(flags.folder) / "coordinator" / "job.json";
  const bool exists = std::filesystem::exists(job);
  if (exists && !flags.resume) {
    return Status(Code::kAlreadyExists, Scope::kConfig, "a run lies here already")
        .at(flags.folder)
        .with_hint("go on with --resume, or choose another --out");
  }
  if (!exists && flags.resume) {
    return Status(Code::kNotFound, Scope::kConfig, "no run to resume lies here")
        .at(flags.folder)
        .with_hint("start without --resume");
  }
  if (!exists) return check_free(flags.folder);
  SKARV_ASSIGN(const Job before, read_job(job));
  if (digest_of(before.run) != digest_of(run)) {
    return Status(Code::kFailedPrecondition, Scope::kConfig,
                  "the run file differs from the one this run was started with")
        .at(flags.run)
        .with_hint(
            "numbers are the run's: resume with the old file, or start in a new folder; "
            "what changes only speed is in the plan and may change");
  }
  return Status();
}

Status check_steps(const Run& run, const std::string& origin) {
  if (run.steps % run.steps_per_round() == 0) return Status();
  const int64_t round = run.steps_per_round();
  return config_error(cat("steps = ", run.steps, " is no multiple of ", round,
                          ", the steps of a round: the last ones would never be merged"))
      .at(origin)
      .with_hint(cat("use ", run.steps / round * round + round));
}

// A run that is over has nothing to resume: what it came to is shown and stays as it is.
Status tell_closing(const std::filesystem::path& folder, bool json) {
  if (!json) {
    std::printf("this run is over: closing table: %s; exported model: %s\n",
                (folder / kClosingFile).c_str(), (folder / "export").c_str());
    return Status();
  }
  SKARV_ASSIGN(const Json closing, read_json(folder / kClosingFile));
  std::printf("%s\n", closing.dump(2).c_str());
  return Status();
}

// Before a folder is made, not when the relays are started.
Status check_links(const Plan& plan, const Cluster& cluster, const std::string& origin) {
  for (const Island& a : plan.islands) {
    for (const Island& b : plan.islands) {
      if (a.name >= b.name || cluster.find_link(site_of(a), site_of(b)) != nullptr) continue;
      const bool is_one_site = site_of(a) == site_of(b);
      return config_error(cat("no link between ", site_of(a), " and ", site_of(b), " to emulate"))
          .at(origin)
          .with_hint(is_one_site ? "two islands of one site have no WAN: run without --emulate-wan"
                                 : "add a [[link]] of these sites, or run without --emulate-wan");
    }
  }
  return Status();
}

Result<double> validation_loss(const std::string& exported, const RunInput& input) {
  SKARV_ASSIGN(const std::string worker, find_program("skarv-worker"));
  SKARV_ASSIGN(
      const std::string output,
      run_and_read(
          {worker, "evaluate", "--checkpoint", exported, "--data", input.run.data.folder,
           "--samples", cat(std::max<int64_t>(1, input.run.data.validation_samples)), "--json"},
          Clock::real().now() + kEvaluateLimit));
  SKARV_ASSIGN(const Json json, parse_json(output, "skarv-worker evaluate"));
  if (!json.is_object() || !json.contains("loss") || !json["loss"].is_number()) {
    return bug("skarv-worker evaluate did not say a loss");
  }
  return json["loss"].get<double>();
}

Status watch(Supervisor& supervisor, const Run& run, Progress& progress) {
  const Time began = Clock::real().now();
  std::optional<double> first_done;
  std::string said;
  while (!supervisor.finished()) {
    if (num_interrupts() > 0) {
      progress.say("stopping at the next boundary; once more to stop at once");
      const std::vector<std::string> disorderly = supervisor.stop(kStopPatience);
      const std::string saved =
          disorderly.empty()
              ? "everything is saved"
              : cat(join(disorderly, ", "), " did not stop in order, the last checkpoint counts");
      return Status(Code::kCancelled, Scope::kRun, "interrupted; " + saved)
          .with_hint("go on with --resume");
    }
    SKARV_TRY(supervisor.watch());
    const std::vector<IslandProgress> islands = supervisor.reports();
    if (islands.empty()) continue;
    double done = 1;
    for (const IslandProgress& island : islands) {
      done = std::min(done, static_cast<double>(island.steps) / static_cast<double>(run.steps));
    }
    if (!first_done) first_done = done;
    const double elapsed = to_seconds(Clock::real().now() - began);
    const double rate = (done - *first_done) / elapsed;
    progress.update(done, progress_text(islands, run.steps, rate > 0 ? (1 - done) / rate : NAN));
  }
  return Status();
}

Status train(const TrainFlags& flags) {
  watch_interrupts();
  const Time began = Clock::real().now();
  if (flags.folder.empty()) {
    return config_error("--out is empty").at("skarv train").with_hint("name the run's folder");
  }
  SKARV_ASSIGN(const RunInput input, read_run_input(flags.run, flags.data));
  SKARV_TRY(check_steps(input.run, flags.run));
  SKARV_ASSIGN(const Cluster cluster, read_cluster(flags.cluster));
  SKARV_TRY(check_folder(flags, input.run));
  const std::filesystem::path folder = flags.folder;
  Progress progress(flags.quiet || flags.json);
  FileHandle lock;
  if (flags.resume) {
    SKARV_ASSIGN(lock, lock_folder(folder, "trains", kLockPatience));
    if (std::filesystem::exists(folder / kClosingFile)) return tell_closing(folder, flags.json);
  }

  Job job{input.run, cluster, {}, {}};
  if (flags.profile.empty()) {
    SKARV_ASSIGN(job.profile, measure_profile(input.run, cluster, progress));
    progress.finish();
    SKARV_TRY(make_directories(folder));
    SKARV_TRY(write_file_atomic(folder / "profile.json", to_json(job.profile).dump(1) + "\n"));
  } else {
    SKARV_ASSIGN(job.profile, read_profile_input(flags.profile, input.run.model));
  }
  PlanReport predicted;
  if (flags.plan.empty()) {
    auto made = make_plan(input.run, cluster, job.profile, trainer_limits());
    if (!made.ok()) return made.status().wrap(cat(flags.cluster, " with ", flags.profile));
    predicted = std::move(*made);
    job.plan = predicted.plan;
  } else {
    SKARV_ASSIGN(job.plan, read_plan_input(flags.plan, input.run, cluster));
    SKARV_TRY(check_limits(job.plan, trainer_limits()).wrap(flags.plan));
    auto priced = price_plan(job.plan, input.run, cluster, job.profile);
    if (!priced.ok()) return priced.status().wrap(cat(flags.plan, " with ", flags.profile));
    predicted = std::move(*priced);
    SKARV_TRY(check_fits(predicted, cluster).wrap(flags.plan));
  }
  if (flags.emulate_wan) SKARV_TRY(check_links(job.plan, cluster, flags.cluster));
  // Before anything trains: what is predicted cannot be changed by what is measured.
  SKARV_TRY(make_directories(folder));
  if (!lock) {
    SKARV_ASSIGN(lock, lock_folder(folder, "trains", kLockPatience));
  }
  SKARV_TRY(write_file_atomic(folder / "prediction.json", to_json(predicted).dump(1) + "\n"));
  if (!flags.quiet && !flags.json) {
    std::printf("%s\nprediction: %s\n", to_table(predicted).c_str(),
                (folder / "prediction.json").c_str());
    std::fflush(stdout);
  }

  SupervisorOptions options;
  options.job = job;
  options.folder = folder;
  options.data = input.run.data.folder;
  options.emulate_wan = flags.emulate_wan;
  options.plain = flags.plain;
  options.trace = flags.trace;
  Supervisor supervisor(std::move(options));
  SKARV_TRY(supervisor.start());
  SKARV_TRY(watch(supervisor, input.run, progress));
  progress.finish();

  Closing closing{
      input.run, input.data, predicted,    supervisor.reports(),         supervisor.relayed_bytes(),
      0,         0,          flags.folder, (folder / "export").string(), ""};
  closing.resumed = flags.resume;
  supervisor.stop(std::chrono::seconds(5));
  std::error_code ignored;
  std::filesystem::remove_all(folder / "export", ignored);
  SKARV_TRY(export_run(folder, folder / "export", false).status());
  SKARV_ASSIGN(closing.validation_loss, validation_loss(closing.exported, input));
  Status traced;  // what was trained is worth showing without it
  if (flags.trace) {
    std::vector<std::string> names;
    for (const Island& island : job.plan.islands) names.push_back(island.name);
    const auto merged = merge_traces(folder, names);
    if (merged.ok()) closing.trace = merged->string();
    traced = merged.status();
  }
  closing.wall_seconds = to_seconds(Clock::real().now() - began);
  SKARV_TRY(write_file_atomic(folder / kClosingFile, to_json(closing).dump(1) + "\n"));
  if (flags.json) {
    std::printf("%s\n", to_json(closing).dump(2).c_str());
  } else {
    std::printf("\n%s", to_text(closing).c_str());
  }
  return traced;
}

}  // namespace

void add_train(CLI::App& app, VerbAction& action) {
  auto flags = std::make_shared<TrainFlags>();
  CLI::App* verb = app.add_subcommand("train", "run everything on this machine");
  verb->add_option("run", flags->run, "run file (TOML)")->required();
  verb->add_option("--cluster", flags->cluster, "cluster file (TOML)")->required();
  verb->add_option("--profile", flags->profile,
                   "profile (JSON); without one the devices are measured");
  verb->add_option("--plan", flags->plan, "plan (JSON); without one it is made");
  verb->add_option("--data", flags->data, "data folder, instead of the run file's");
  verb->add_option("--out", flags->folder, "folder of the run")->capture_default_str();
  verb->add_flag("--resume", flags->resume, "go on with the run that lies in --out");
  verb->add_flag("--emulate-wan", flags->emulate_wan,
                 "put a relay with the cluster file's rate and round trip between the sites");
  verb->add_flag("--plain", flags->plain, "no TLS between the sites (all are on this machine)");
  verb->add_flag("--trace", flags->trace, "write Perfetto traces of a step");
  verb->add_flag("--json", flags->json, "print the closing table as JSON");
  verb->add_flag("--quiet", flags->quiet, "no progress");
  verb->footer("Example: skarv train run.toml --cluster cluster.toml --out runs/first");
  verb->callback([flags, &action] { action = [flags] { return train(*flags); }; });
}

}  // namespace skarv
