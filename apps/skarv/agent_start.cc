// How an agent starts: what it is to do, its workers, the outer state of its keeper, wherever that
// is to be had from, and the protocol.
#include <algorithm>

#include "agent.h"
#include "base/file.h"
#include "base/text.h"
#include "folder_lock.h"
#include "island_journal.h"
#include "plan/schedule/timed_schedule.h"

namespace skarv {

namespace {
constexpr auto kLockPatience = std::chrono::seconds(5);  // for an agent that is just ending
}

Status Agent::prepare() {
  SKARV_TRY(make_directories(options_.folder));
  SKARV_ASSIGN(lock_, lock_folder(options_.folder, "keeps an island", kLockPatience));
  SKARV_TRY(events_.open(options_.folder / "events.jsonl"));
  const Job& job = options_.job;
  island_ = job.plan.find_island(options_.island);
  if (island_ == nullptr) {
    std::vector<std::string> names;
    for (const Island& island : job.plan.islands) names.push_back(island.name);
    return config_error(
               cat("the plan has no island '", options_.island, "'; it has ", join(names, ", ")))
        .with_hint("nearest: " + nearest_name(options_.island, names));
  }
  SKARV_ASSIGN(const std::vector<DeviceInfo> all, expand_devices(job.cluster));
  for (const std::string& name : island_->devices()) {
    const auto found = std::find_if(all.begin(), all.end(),
                                    [&](const DeviceInfo& device) { return device.name == name; });
    if (found == all.end()) return config_error("no such device in the cluster: " + name);
    devices_.push_back(*found);
  }
  for (const DeviceInfo& device : devices_) {
    if (device.site == devices_[0].site && device.host == devices_[0].host) continue;
    return config_error(cat("island ", island_->name, " spans the hosts ", devices_[0].site, "/",
                            devices_[0].host, " and ", device.site, "/", device.host,
                            "; an agent drives the devices of one host"))
        .with_hint("plan one island a host");
  }
  table_ = std::make_unique<SlabTable>(job.run.model, job.run.exchange.num_fragments);
  ownership_ = ownership_of(*island_, job.plan, *table_);

  DirectorSettings settings;
  settings.mode = job.run.exchange.mode;
  settings.total_steps = job.run.steps;
  settings.steps_per_round = job.run.steps_per_round();
  settings.last_round = job.run.steps / settings.steps_per_round;
  settings.overlap_steps = job.run.exchange.overlap_steps;
  settings.samples_per_step = island_->samples();
  settings.tokens_per_step = island_->samples() * job.run.model.context;
  settings.num_workers = static_cast<int>(devices_.size());
  settings.patience = from_seconds(job.run.exchange.detection_seconds);
  director_ = std::make_unique<Director>(settings);

  progress_.island = island_->name;
  if (auto before = read_progress(options_.folder / "report.json"); before.ok()) {
    progress_ = std::move(*before);
    seconds_before_ = progress_.seconds;
    sent_before_ = progress_.wan_sent;
    received_before_ = progress_.wan_received;
  }
  ++progress_.agent_starts;
  progress_.devices.resize(devices_.size());
  for (size_t rank = 0; rank < devices_.size(); ++rank) {
    DeviceProgress& device = progress_.devices[rank];
    device.device = devices_[rank].name;
    device.chip = devices_[rank].chip.name;
    device.pace = devices_[rank].pace;
  }
  return Status();
}

// By the profile's times; a plan by hand may name devices that no profile knows.
Result<Schedule> Agent::make_schedule() const {
  const Job& job = options_.job;
  SKARV_ASSIGN(const DeviceIndex devices, index_devices(job.cluster));
  OrderOptions order;
  order.max_pieces = kRunEffort;
  Result<Schedule> timed = build_timed_schedule(*island_, ownership_, *table_, job.run, job.cluster,
                                                devices, job.profile, order);
  if (timed.ok() || timed.status().code() != Code::kNotFound) return timed;
  return build_schedule(*island_, ownership_, *table_, job.run);
}

Status Agent::open_workers() {
  const Job& job = options_.job;
  SKARV_ASSIGN(const Schedule schedule, make_schedule());
  SKARV_TRY(check_schedule(schedule, *island_, ownership_));
  WorkerGroupOptions options;
  SKARV_ASSIGN(options.program, find_program("skarv-worker"));
  options.folder = options_.folder / "workers";
  options.silence_limit = from_seconds(std::max(10.0, 3 * job.run.exchange.detection_seconds));
  options.suspect_limit = from_seconds(job.run.exchange.detection_seconds);
  Run run = job.run;
  run.data.folder = options_.data;
  for (const DeviceInfo& device : devices_) {
    handoff::Assign assign;
    assign.run = to_json(run);
    assign.plan = to_json(job.plan);
    assign.profile = to_json(job.profile);
    assign.schedule = to_json(schedule);
    assign.island = island_->name;
    assign.chip = device.chip.name;
    assign.maker = device.chip.maker;
    assign.plugin = device.plugin;
    assign.ordinal = device.ordinal;
    assign.pace = device.pace;
    assign.detection_seconds = job.run.exchange.detection_seconds;
    if (options_.trace) assign.trace = (options_.folder / "trace").string();
    options.devices.push_back(device.name);
    options.assignments.push_back(std::move(assign));
  }
  SKARV_ASSIGN(group_, WorkerGroup::open(std::move(options), *table_, events_));
  return Status();
}

void Agent::place_outer_weights() {
  handoff::SharedMemory& memory = *group_->memory();
  for (const auto& slab : keeper_->memory().slabs()) {
    memory.place_w(slab.slab, keeper_->memory().offset_of(slab.w[0].data()),
                   keeper_->memory().offset_of(slab.w[1].data()));
  }
  note_current_sides();
}

void Agent::note_current_sides() {
  for (const auto& slab : keeper_->memory().slabs()) {
    const bool second = keeper_->state(slab.slab).w.data() == slab.w[1].data();
    group_->memory()->set_current_w(slab.slab, second ? 1 : 0);
  }
}

Status Agent::open_keeper() {
  const Run& run = options_.job.run;
  KeeperSettings settings;
  for (int slab = 0; slab < table_->size(); ++slab) settings.slabs.push_back(slab);
  settings.upload = run.exchange.upload;
  settings.download = run.exchange.download;
  settings.exact = run.exchange.mode == ExchangeMode::kGradient;
  settings.residual_decay = static_cast<float>(run.exchange.residual_decay);

  auto& memory = group_->memory();
  const bool survived = memory.has_value();
  if (!survived) {
    SKARV_ASSIGN(memory, handoff::SharedMemory::create(*table_, settings.slabs,
                                                       KeeperMemory::bytes_for(*table_, settings)));
  }
  SKARV_ASSIGN(KeeperMemory region,
               KeeperMemory::adopt(memory->keeper_region(), *table_, settings));
  keeper_ = std::make_unique<KeeperStore>(*table_, std::move(region));
  start_ = {};
  if (survived) {
    SKARV_TRY(recover());
  } else {
    // A journal speaks of a memory that is gone.
    std::error_code ignored;
    std::filesystem::remove(journal_path(), ignored);
    auto loaded = load_checkpoint(options_.folder, run, *table_, *keeper_, *memory);
    if (loaded.ok()) {
      start_ = loaded->inner;
      if (loaded->put_away && run.exchange.mode == ExchangeMode::kLocal) {
        // Local weights count only if nothing happened to the island since, and a checkpoint has
        // the newest outer weights alone.
        const wan::LocalState local = loaded->put_away->journal.state();
        SKARV_ASSIGN(const auto restored, this->restored());
        const bool has_base = !loaded->put_away->journal.needs_base();
        if (has_base && local.round == restored.committed &&
            wan::IslandMachine::continues(local, restored)) {
          go_on_ = std::move(loaded->put_away->journal);
          merger_residuals_ = std::move(loaded->put_away->merger_residuals);
        }
      }
      events_.write("checkpoint_loaded",
                    {{"step", start_.step}, {"continues", go_on_.has_value()}});
    } else if (loaded.status().code() != Code::kNotFound) {
      return loaded.status();
    }
  }
  std::vector<float> initial;
  for (int slab = 0; slab < table_->size(); ++slab) {
    if (keeper_->version(slab) != kNoVersion) continue;
    initial.resize(static_cast<size_t>((*table_)[slab].size()));
    initial_values(table_->tensor_of(slab), run.seed, (*table_)[slab].begin, initial);
    SKARV_TRY(keeper_->initialize(slab, initial));
  }
  if (settings.exact) start_ = {-1, keeper_->version(0)};
  place_outer_weights();
  return Status();
}

// What the log and the keeper tell the protocol's machine.
Result<wan::IslandMachine::Restored> Agent::restored() const {
  SKARV_ASSIGN(const wan::Handshake handshake, wan::Handshake::of(options_.job.run, *table_));
  SKARV_ASSIGN(const wan::IslandLog log,
               wan::IslandLog::open(options_.folder / "keeper" / "island.log", handshake.run));
  wan::IslandMachine::Restored restored = log.restored();
  for (int slab = 0; slab < table_->size(); ++slab) {
    restored.versions.push_back(keeper_->version(slab));
  }
  return restored;
}

// The workers outlived an agent, and with them the shared memory.
Status Agent::recover() {
  const auto words = group_->memory()->agent_words();
  start_ = {static_cast<int>(words[0]) - 1, words[1]};
  auto journal = read_journal(journal_path());
  if (journal.ok()) {
    SKARV_ASSIGN(const auto restored, this->restored());
    const wan::LocalState local = journal->local.state();
    if (wan::IslandMachine::continues(local, restored)) {
      start_ = {journal->parity, local.step};
      go_on_ = std::move(journal->local);
    }
  } else if (journal.status().code() != Code::kNotFound) {
    events_.write("journal_failed", {{"why", journal.status().to_string()}});
  }
  events_.write("memory_kept", {{"step", start_.step}, {"continues", go_on_.has_value()}});
  return Status();
}

Status Agent::open_service() {
  wan::IslandOptions options;
  options.name = island_->name;
  options.run = options_.job.run;
  options.last_round = options_.job.run.steps / options_.job.run.steps_per_round();
  options.folder = options_.folder / "keeper";
  options.listen = options_.listen;
  options.advertise = options_.advertise;
  options.coordinator = options_.coordinator;
  options.routes = options_.routes;
  options.transport = options_.transport;
  options.net = options_.net;
  options.step = start_.step;
  if (go_on_) options.local = go_on_->state();
  options.merger_residuals = std::move(merger_residuals_);

  wan::Trainer trainer;
  trainer.take_snapshot = [this](const wan::TakeSnapshot& wanted) {
    put([this, wanted] { director_->take_snapshot(wanted); });
  };
  trainer.apply_local = [this](const wan::ApplyLocal& wanted) {
    put([this, wanted] {
      note_current_sides();
      director_->apply_local(wanted);
    });
  };
  trainer.step_limit = [this](int64_t steps) {
    put([this, steps] { director_->set_limit(steps); });
  };
  trainer.leased = [this](const wan::LeaseGranted& lease) {
    put([this, lease] { director_->add_samples(lease); });
  };
  trainer.say = [this](const std::string& text) { put([this, text] { said_ = text; }); };
  trainer.snapshot = [this](int64_t, int slab) -> Result<std::span<const float>> {
    return std::span<const float>(group_->memory()->at(slab).snapshot);
  };
  service_ = std::make_unique<wan::IslandService>(std::move(options), *keeper_, *table_,
                                                  std::move(trainer), events_);
  return service_->start();
}

}  // namespace skarv
