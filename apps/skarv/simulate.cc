// skarv simulate: any plan on any cluster, without a device: time line, memory, wires, and where
// the time goes.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>

#include "base/file.h"
#include "base/text.h"
#include "inputs.h"
#include "plan/cost/roofline.h"
#include "plan/schedule/timed_schedule.h"
#include "plan/simulate/step_report.h"
#include "spec/units.h"
#include "verb.h"

namespace skarv {

namespace {

constexpr double kMostStartUp = 3600;  // seconds

struct SimulateFlags {
  std::string run, cluster, model, profile, plan, data, trace, precision = "fp32";
  std::string control = "cubic";
  std::string device_mtbf, host_mtbf, site_mtbf;
  std::string restart, host_replace, site_outage, checkpoint_interval;
  std::string step_start_up, action_start_up, message_start_up;
  std::vector<std::string> slow, schedules;
  std::string save_schedules;
  int64_t context = 0;
  uint64_t seed = 1;
  double jitter = 0;
  int streams = 2;
  bool json = false;
};

// Skarv's own form, or config.json of transformers.
Result<Model> read_model(const SimulateFlags& flags) {
  SKARV_ASSIGN(const Json json, read_json(flags.model));
  Model model;
  if (json.is_object() && (json.contains("hidden_size") || json.contains("model_type"))) {
    SKARV_ASSIGN(model, model_from_hugging_face(flags.model));
  } else {
    SKARV_ASSIGN(model, model_from_json(json, flags.model));
  }
  if (flags.context > 0) model.context = flags.context;
  SKARV_TRY(check_model(model, flags.model));
  return model;
}

// Of a run file everything; without one the model, and the batch that the plan adds up to.
Result<Run> run_of(const SimulateFlags& flags, const Plan& plan) {
  if (!flags.run.empty()) {
    SKARV_ASSIGN(Run run, read_run(flags.run));
    if (run.model.vocabulary > 0 && flags.data.empty()) return run;
    SKARV_ASSIGN(RunInput input, read_run_input(flags.run, flags.data));
    return input.run;
  }
  if (flags.model.empty()) {
    return config_error("no model: give --model FILE or a run file")
        .at("skarv simulate")
        .with_hint("a model is config.json of a checkpoint, or Skarv's own JSON");
  }
  Run run;
  SKARV_ASSIGN(run.model, read_model(flags));
  run.precision = flags.precision == "bf16" ? Precision::kBf16 : Precision::kFp32;
  for (const Island& island : plan.islands) run.global_batch += island.samples();
  return run;
}

// Measured, or, without a file, estimated from the catalog.
Result<Profile> profile_of(const SimulateFlags& flags, const Run& run, const Cluster& cluster) {
  if (!flags.profile.empty()) return read_profile_input(flags.profile, run.model);
  std::vector<std::string> chips;
  for (const Site& site : cluster.sites) {
    for (const HostGroup& host : site.hosts) {
      for (const DeviceGroup& group : host.devices) {
        if (std::ranges::find(chips, group.chip) == chips.end()) chips.push_back(group.chip);
      }
    }
  }
  return estimate_profile(run, chips);
}

// "north/a/0=1.5"
Status read_slow(const std::vector<std::string>& texts, StepSettings& settings) {
  for (const std::string& text : texts) {
    const size_t split = text.rfind('=');
    double factor = 0;
    if (split != std::string::npos) {
      const char* const end = text.data() + text.size();
      const auto [rest, error] = std::from_chars(text.data() + split + 1, end, factor);
      if (error != std::errc() || rest != end) factor = 0;
    }
    if (split == std::string::npos || split == 0 || !(factor > 0)) {
      return config_error(cat("\"", text, "\" is no device with a factor"))
          .at("--slow")
          .with_hint("write it as site/host/index=1.5: one and a half times the time");
    }
    settings.slowdown[text.substr(0, split)] = factor;
  }
  return {};
}

// "north=schedule.json"
Status read_schedules(const std::vector<std::string>& texts, StepSettings& settings) {
  for (const std::string& text : texts) {
    const size_t split = text.find('=');
    if (split == std::string::npos || split == 0) {
      return config_error(cat("\"", text, "\" is no island with a file"))
          .at("--schedule")
          .with_hint("write it as north=schedule.json");
    }
    const std::string path = text.substr(split + 1);
    SKARV_ASSIGN(const Json json, read_json(path));
    SKARV_ASSIGN(settings.schedules[text.substr(0, split)], schedule_from_json(json, path));
  }
  return {};
}

Status read_time(const std::string& text, const char* flag, double& seconds) {
  if (text.empty()) return {};
  const auto parsed = parse_quantity(text, Quantity::kSeconds);
  if (!parsed.ok()) return parsed.status().at(flag);
  seconds = *parsed;
  return {};
}

Status read_start_up(const std::string& text, const char* flag, int64_t& nanoseconds) {
  double seconds = 0;
  SKARV_TRY(read_time(text, flag, seconds));
  if (!(seconds >= 0 && seconds <= kMostStartUp)) {
    return config_error(cat("\"", text, "\" is no time to get going"))
        .at(flag)
        .with_hint("give a time such as 20us, an hour at most");
  }
  nanoseconds = std::llround(seconds * 1e9);
  return {};
}

Result<PlanSettings> settings_of(const SimulateFlags& flags) {
  PlanSettings settings;
  settings.step.seed = flags.seed;
  settings.step.jitter = flags.jitter;
  settings.step.order.max_pieces = kRunEffort;  // as a run's schedules are built
  settings.step.keep_spans = !flags.trace.empty();
  settings.num_streams = flags.streams;
  SKARV_TRY(read_slow(flags.slow, settings.step));
  SKARV_TRY(read_time(flags.device_mtbf, "--device-mtbf", settings.rates.device_mtbf));
  SKARV_TRY(read_time(flags.host_mtbf, "--host-mtbf", settings.rates.host_mtbf));
  SKARV_TRY(read_time(flags.site_mtbf, "--site-mtbf", settings.rates.site_mtbf));
  SKARV_TRY(read_time(flags.restart, "--restart", settings.rates.restart_seconds));
  SKARV_TRY(read_time(flags.host_replace, "--host-replace", settings.rates.host_replace_seconds));
  SKARV_TRY(read_time(flags.site_outage, "--site-outage", settings.rates.site_outage_seconds));
  SKARV_TRY(read_time(flags.checkpoint_interval, "--checkpoint-interval",
                      settings.rates.snapshot_seconds));
  StartUp& start_up = settings.step.start_up;
  SKARV_TRY(read_start_up(flags.step_start_up, "--step-start-up", start_up.step_ns));
  SKARV_TRY(read_start_up(flags.action_start_up, "--action-start-up", start_up.action_ns));
  SKARV_TRY(read_start_up(flags.message_start_up, "--message-start-up", start_up.message_ns));
  auto control = congestion_control_from(flags.control);
  if (!control.ok()) return control.status().at("--congestion-control");
  settings.control = *control;
  SKARV_TRY(read_schedules(flags.schedules, settings.step));
  settings.step.whole = !flags.save_schedules.empty();
  return settings;
}

// FOLDER/<island>.json: the lists that a run of this plan executes, for every device.
Status save_schedules(const PlanStep& step, const std::filesystem::path& folder) {
  SKARV_TRY(make_directories(folder));
  for (size_t i = 0; i < step.islands.size(); ++i) {
    SKARV_TRY(write_file_atomic(folder / (step.names[i] + ".json"),
                                to_json(step.islands[i].schedule).dump(1) + "\n"));
  }
  return {};
}

Status simulate(const SimulateFlags& flags) {
  SKARV_ASSIGN(PlanSettings settings, settings_of(flags));
  SKARV_ASSIGN(const Cluster cluster, read_cluster(flags.cluster));
  SKARV_ASSIGN(const Plan raw, read_plan(flags.plan));
  SKARV_ASSIGN(const Run run, run_of(flags, raw));
  SKARV_ASSIGN(const Plan plan, read_plan_input(flags.plan, run, cluster));
  SKARV_ASSIGN(const Profile profile, profile_of(flags, run, cluster));
  auto step = simulate_plan(plan, run, cluster, profile, settings);
  if (!step.ok()) {
    return step.status().wrap(
        cat(flags.plan, " with ", flags.profile.empty() ? "the catalog" : flags.profile));
  }
  if (!flags.trace.empty()) {
    SKARV_TRY(write_file_atomic(flags.trace, to_trace(*step).dump() + "\n"));
  }
  if (!flags.save_schedules.empty()) SKARV_TRY(save_schedules(*step, flags.save_schedules));
  if (flags.json) {
    std::printf("%s\n", to_json(*step, plan).dump(2).c_str());
    return Status();
  }
  std::printf("%s", to_table(*step, plan).c_str());
  if (!flags.trace.empty()) {
    std::printf("time line: %s (ui.perfetto.dev)\n", flags.trace.c_str());
  }
  return Status();
}

}  // namespace

void add_simulate(CLI::App& app, VerbAction& action) {
  auto flags = std::make_shared<SimulateFlags>();
  CLI::App* verb = app.add_subcommand(
      "simulate", "play a plan without devices: step time, memory, wires, where the time goes");
  CLI::Option* run = verb->add_option(
      "run", flags->run, "run file (TOML): model, batch, precision, exchange; else --model");
  verb->add_option("--cluster", flags->cluster, "cluster file (TOML)")->required();
  verb->add_option("--plan", flags->plan, "plan (JSON), also one written by hand")->required();
  verb->add_option("--model", flags->model, "model (JSON): config.json, or Skarv's own form")
      ->excludes(run);
  verb->add_option("--profile", flags->profile,
                   "profile (JSON) of skarv probe, or FOLDER:MODEL of tables; without it the "
                   "chip catalog's estimate");
  verb->add_option("--context", flags->context, "tokens of a sample, with --model")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 30));
  verb->add_option("--precision", flags->precision, "fp32 or bf16, with --model")
      ->check(CLI::IsMember({"fp32", "bf16"}))
      ->capture_default_str();
  verb->add_option("--data", flags->data, "data folder, instead of the run file's");
  verb->add_option("--trace", flags->trace, "write the time line for Perfetto (JSON)");
  verb->add_flag("--json", flags->json, "print everything as JSON");
  verb->add_option("--jitter", flags->jitter,
                   "deviation of each computation, as a fraction of its time")
      ->check(CLI::Range(0.0, 1.0));
  verb->add_option("--slow", flags->slow, "a straggler: site/host/index=FACTOR (may be repeated)")
      ->allow_extra_args(false);
  verb->add_option("--save-schedules", flags->save_schedules,
                   "folder: write each island's action lists (JSON), as a run executes them");
  verb->add_option("--schedule", flags->schedules,
                   "play these action lists: ISLAND=FILE (may be repeated)")
      ->allow_extra_args(false);
  verb->add_option("--seed", flags->seed, "of jitter and failures")->capture_default_str();
  verb->add_option(
          "--streams", flags->streams,
          "TCP streams of each connection in rounds between sites; stages that meet over a "
          "link between sites are priced with 2 all the same")
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  verb->add_option("--congestion-control", flags->control,
                   "reno, cubic or bbr, in rounds between sites; where stages meet over a link "
                   "between sites it is cubic")
      ->capture_default_str();
  verb->add_option("--step-start-up", flags->step_start_up,
                   "added to each step before anything is computed (0 s)");
  verb->add_option("--action-start-up", flags->action_start_up,
                   "added to each forward, backward and update, for launching it (0 s)");
  verb->add_option("--message-start-up", flags->message_start_up,
                   "added to each message between stages, beside the link's latency (0 s)");
  verb->add_option("--device-mtbf", flags->device_mtbf, "mean time between failures of a device");
  verb->add_option("--host-mtbf", flags->host_mtbf, "... of a host");
  verb->add_option("--site-mtbf", flags->site_mtbf, "... of a site");
  verb->add_option("--restart", flags->restart,
                   "from a failure's detection until its island trains again (60 s)");
  verb->add_option("--host-replace", flags->host_replace,
                   "until another host takes a failed one's place, before the restart (10 min)");
  verb->add_option("--site-outage", flags->site_outage, "how long a failed site is out (1 h)");
  verb->add_option("--checkpoint-interval", flags->checkpoint_interval,
                   "a restart loses what was trained since the last checkpoint, one every so "
                   "often; without it since the last round");
  verb->footer(
      "Example: skarv simulate --cluster cluster.toml --model config.json --profile profile.json "
      "\\\n"
      "           --plan plan.json --trace trace.json\n"
      "Goodput over a day: --device-mtbf 80d --restart 5min --checkpoint-interval 1h\n"
      "A plan that does not fit in memory is played all the same, and says so. Exit codes: 0 "
      "done;\n"
      "1 the trace cannot be written; 2 bad input, with its place; 70 a bug of Skarv.");
  verb->callback([flags, &action] { action = [flags] { return simulate(*flags); }; });
}

}  // namespace skarv
