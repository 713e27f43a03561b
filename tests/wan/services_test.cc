// Coordinator and islands as services over real connections in one process: toy trainers, a
// coordinator that is stopped and started again in the middle, and a second one that is refused.
#include <gtest/gtest.h>

#include <condition_variable>
#include <deque>
#include <thread>

#include "support/temporary_folder.h"
#include "wan/coordinator.h"
#include "wan/island_service.h"

namespace skarv::wan {
namespace {

constexpr auto kLimit = std::chrono::seconds(60);

Run toy_run() {
  Run run;
  run.name = "services";
  run.model = {.vocabulary = 16,
               .hidden = 4,
               .num_blocks = 1,
               .num_heads = 2,
               .num_kv_heads = 1,
               .head_dim = 2,
               .ffn = 8,
               .context = 8};
  run.global_batch = 4;
  run.steps = 20;
  run.exchange.inner_steps = 4;
  run.exchange.detection_seconds = 0.5;
  run.exchange.round_budget_seconds = 10;
  return run;
}

net::Options net_options(const std::string& name) {
  net::Options options;
  options.run = "services";
  options.token = "token";
  options.name = name;
  options.detection_time = std::chrono::milliseconds(500);
  return options;
}

// Trains on one vector; everything happens on its own thread, as in an agent.
class ToyIsland {
 public:
  ToyIsland(const std::string& name, const Run& run, const SlabTable& table,
            std::shared_ptr<net::Transport> transport, const std::string& coordinator,
            const std::filesystem::path& folder)
      : table_(table), events_(name) {
    KeeperSettings settings;
    for (int slab = 0; slab < table.size(); ++slab) settings.slabs.push_back(slab);
    settings.upload = run.exchange.upload;
    settings.download = run.exchange.download;
    keeper_ = std::make_unique<KeeperStore>(table, KeeperMemory::allocate(table, settings).value());
    for (int slab = 0; slab < table.size(); ++slab) {
      const std::vector<float> w(static_cast<size_t>(table[slab].size()), 1.0f);
      EXPECT_TRUE(keeper_->initialize(slab, w).ok());
    }
    x_.assign(static_cast<size_t>(table.num_elements()), 1.0f);
    IslandOptions options;
    options.name = name;
    options.run = run;
    options.last_round = 5;
    options.folder = folder;
    options.listen = "127.0.0.1:0";
    options.coordinator = coordinator;
    options.transport = std::move(transport);
    options.net = net_options(name);
    Trainer trainer;
    trainer.take_snapshot = [this](const TakeSnapshot& take) {
      post([this, take] { snapshots_.push_back(take); });
    };
    trainer.apply_local = [this](const ApplyLocal& apply) {
      post([this, apply] { applies_.push_back(apply); });
    };
    trainer.step_limit = [this](int64_t steps) { post([this, steps] { limit_ = steps; }); };
    trainer.leased = [](const LeaseGranted&) {};
    trainer.say = [](const std::string&) {};
    trainer.snapshot = [this](int64_t round, int slab) -> Result<std::span<const float>> {
      const std::lock_guard lock(mutex_);
      return std::span<const float>(frozen_.at(round))
          .subspan(offset_of(slab), static_cast<size_t>(table_[slab].size()));
    };
    service_ =
        std::make_unique<IslandService>(std::move(options), *keeper_, table, trainer, events_);
  }
  ~ToyIsland() { stop(); }

  Status start() {
    SKARV_TRY(service_->start());
    thread_ = std::thread([this] { work(); });
    return Status();
  }
  void stop() {
    post([this] { stopping_ = true; });
    if (thread_.joinable()) thread_.join();
    service_->stop();
  }
  IslandStatus status() const { return service_->status(); }
  Status failure() const { return service_->failure(); }

 private:
  void post(std::function<void()> task) {
    const std::lock_guard lock(tasks_mutex_);
    tasks_.push_back(std::move(task));
    changed_.notify_all();
  }
  size_t offset_of(int slab) const {
    size_t offset = 0;
    for (int s = 0; s < slab; ++s) offset += static_cast<size_t>(table_[s].size());
    return offset;
  }

  void work() {
    while (!stopping_) {
      std::deque<std::function<void()>> tasks;
      {
        std::unique_lock lock(tasks_mutex_);
        const bool idle = step_ >= limit_;
        changed_.wait_for(lock, std::chrono::milliseconds(idle ? 100 : 0),
                          [&] { return !tasks_.empty(); });
        tasks.swap(tasks_);
      }
      for (auto& task : tasks) task();
      boundary();
      if (stopping_ || step_ >= limit_) continue;
      for (float& x : x_) x -= 0.02f * (x - 0.25f);
      ++step_;
      service_->step_done(step_, 32, {});
    }
  }

  void boundary() {
    while (!applies_.empty() && applies_.front().not_before_step <= step_) {
      const ApplyLocal apply = applies_.front();
      applies_.pop_front();
      for (int slab = 0; slab < table_.size(); ++slab) {
        const SlabState now = keeper_->state(slab), before = keeper_->previous(slab);
        for (size_t e = 0; e < now.w.size(); ++e) {
          float& x = x_[offset_of(slab) + e];
          x = apply.verdict == LocalVerdict::kExcluded ? x + now.w[e] - before.w[e] : now.w[e];
        }
      }
      service_->local_applied(apply.token);
    }
    while (applies_.empty() && !snapshots_.empty() &&
           snapshots_.front().not_before_step <= step_) {
      const int64_t round = snapshots_.front().round;
      snapshots_.pop_front();
      {
        const std::lock_guard lock(mutex_);
        frozen_[round] = x_;
      }
      service_->snapshot_ready(round, step_);
    }
  }

  const SlabTable& table_;
  EventLog events_;
  std::unique_ptr<KeeperStore> keeper_;
  std::vector<float> x_;
  std::mutex mutex_, tasks_mutex_;
  std::map<int64_t, std::vector<float>> frozen_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> tasks_;
  std::deque<TakeSnapshot> snapshots_;
  std::deque<ApplyLocal> applies_;
  int64_t step_ = 0, limit_ = 0;
  bool stopping_ = false;
  std::unique_ptr<IslandService> service_;
  std::thread thread_;
};

CoordinatorOptions coordinator_options(const Run& run, std::shared_ptr<net::Transport> transport,
                                       const std::filesystem::path& folder,
                                       const std::string& listen) {
  CoordinatorOptions options;
  options.run = run;
  options.view = {1, {{"a", 1}, {"b", 1}}};
  options.last_round = 5;
  options.folder = folder;
  options.listen = listen;
  options.transport = std::move(transport);
  options.net = net_options(kCoordinatorName);
  return options;
}

// Polls with a deadline: what is waited for happens on other threads.
bool eventually(const std::function<bool()>& condition) {
  const Time end = Clock::real().now() + kLimit;
  while (!condition()) {
    if (Clock::real().now() > end) return false;
    std::this_thread::yield();
    Clock::real().sleep_until(Clock::real().now() + std::chrono::milliseconds(2));
  }
  return true;
}

// An island that dies before its first PROMISE has a log entry without a view.
TEST(IslandLog, EntriesComeBackAlsoWithoutView) {
  for (const View& view : {View{0, {}}, View{1, {{"a", 1}}}}) {
    const Result<LogEntry> back =
        entry_of_log(to_json(LogPromise{{2, view.version}, view, 3}), "log");
    ASSERT_TRUE(back.ok()) << back.status();
    EXPECT_EQ(std::get<LogPromise>(*back).generation, 3);
    EXPECT_EQ(std::get<LogPromise>(*back).view.size(), view.size());
  }
}

class Services : public testing::TestWithParam<const char*> {};

TEST_P(Services, TwoIslandsAgreeThroughARestartOfTheCoordinator) {
  const TemporaryFolder folder;
  const skarv::Run run = toy_run();
  const SlabTable table(run.model, run.exchange.num_fragments);
  const std::shared_ptr<net::Transport> transport = net::make_transport(GetParam()).value();
  EventLog events(kCoordinatorName);
  auto coordinator = std::make_unique<Coordinator>(
      coordinator_options(run, transport, folder.path() / "c", "127.0.0.1:0"), events);
  ASSERT_TRUE(make_directories(folder.path() / "c").ok());
  ASSERT_TRUE(coordinator->start().ok());
  const std::string address = coordinator->address();
  ToyIsland a("a", run, table, transport, address, folder.path() / "a");
  ToyIsland b("b", run, table, transport, address, folder.path() / "b");
  ASSERT_TRUE(a.start().ok());
  ASSERT_TRUE(b.start().ok());

  ASSERT_TRUE(eventually([&] { return a.status().applied >= 2; })) << coordinator->status().dump();
  {
    EventLog other(kCoordinatorName);
    Coordinator second(coordinator_options(run, transport, folder.path() / "c", "127.0.0.1:0"),
                       other);
    const Status refused = second.start();
    EXPECT_EQ(refused.code(), Code::kUnavailable) << refused;
  }
  coordinator->stop();
  coordinator.reset();
  coordinator = std::make_unique<Coordinator>(
      coordinator_options(run, transport, folder.path() / "c", address), events);
  ASSERT_TRUE(coordinator->start().ok());

  ASSERT_TRUE(eventually([&] { return a.status().finished && b.status().finished; }))
      << coordinator->status().dump();
  ASSERT_TRUE(eventually([&] { return coordinator->finished(); })) << coordinator->status().dump();
  EXPECT_EQ(a.status().applied, 5);
  EXPECT_EQ(a.status().chain, b.status().chain);
  EXPECT_EQ(a.status().state_root, b.status().state_root);
  EXPECT_FALSE(a.status().state_root.is_zero());
  EXPECT_GE(coordinator->status()["epoch"], 2);
  EXPECT_TRUE(a.failure().ok() && b.failure().ok() && coordinator->failure().ok());
}
INSTANTIATE_TEST_SUITE_P(Over, Services, testing::Values("mem", "tcp"));

}  // namespace
}  // namespace skarv::wan
