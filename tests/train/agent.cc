#include "agent.h"

#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>

#include "shared_memory.h"
#include "spec/profile.h"
#include "train/worker.h"

namespace skarv::train {
namespace {

std::string maker_of(const IslandSpec& spec, const std::string& device) {
  const auto found = spec.makers.find(device);
  return found == spec.makers.end() ? "cpu" : found->second;
}

}  // namespace

Agent::Agent(const IslandSpec& spec)
    : spec_(spec),
      plan_(plan_of(spec)),
      schedule_(schedule_of(spec, plan_)),
      table_(spec.run.model, spec.run.exchange.num_fragments),
      memory_(genesis_memory(table_, spec.run.seed)),
      transport_(net::make_transport(spec.transport).value()),
      samples_(std::make_shared<PatternSource>(spec.run.model.vocabulary)),
      seats_(schedule_.devices.size()) {
  static std::atomic<int> count{0};
  store_ = (std::filesystem::path(testing::TempDir()) /
            ("skarv-agent-" + std::to_string(::getpid()) + "-" + std::to_string(++count)))
               .string();
}

Agent::~Agent() {
  for (int rank = 0; rank < num_ranks(); ++rank) kill(rank);
  std::filesystem::remove_all(store_);
}

void Agent::start(int rank) {
  int ends[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
  Seat& seat = seats_[rank];
  seat.channel.emplace(FileHandle(ends[0]));
  seat.worker = std::thread([this, rank, fd = ends[1]] {
    const WorkerOptions options{.device = schedule_.devices[rank],
                                .torch = "2.13.0",
                                .transport = transport_,
                                .samples = samples_,
                                .owns_process = false};
    const auto end = run_worker(handoff::Channel(FileHandle(fd)), options);
    EXPECT_TRUE(end.ok()) << end.status();
  });
  await<handoff::Hello>(rank);
  const handoff::Assign assign{.run = to_json(spec_.run),
                               .plan = to_json(plan_),
                               .profile = to_json(Profile{}),
                               .schedule = to_json(schedule_),
                               .island = "north",
                               .rank = rank,
                               .chip = "cpu",
                               .maker = maker_of(spec_, schedule_.devices[rank]),
                               .detection_seconds = kDetectionSeconds};
  ASSERT_TRUE(seat.channel->send(assign, deadline(), memory_.fd()).ok());
  seat.address = await<handoff::Listening>(rank).address;
}

void Agent::kill(int rank) {
  seats_[rank].channel.reset();
  if (seats_[rank].worker.joinable()) seats_[rank].worker.join();
}

void Agent::send(int rank, const handoff::Message& message) {
  const Status status = seats_[rank].channel->send(message, deadline());
  EXPECT_TRUE(status.ok()) << status;
}

void Agent::connect(int64_t incarnation) {
  incarnation_ = incarnation;
  handoff::Connect connect{.incarnation = incarnation,
                           .store = store_ + "/" + std::to_string(incarnation)};
  std::filesystem::create_directories(connect.store);
  for (int rank = 0; rank < num_ranks(); ++rank) {
    connect.addresses.push_back(seats_[rank].address);
    connect.makers.push_back(maker_of(spec_, schedule_.devices[rank]));
  }
  for (int rank = 0; rank < num_ranks(); ++rank) send(rank, connect);
  for (int rank = 0; rank < num_ranks(); ++rank) {
    EXPECT_EQ(await<handoff::Ready>(rank).incarnation, incarnation);
  }
  // As an agent does: the rendezvous has served its turn.
  std::filesystem::remove_all(connect.store);
}

void Agent::load(const handoff::Load& load) {
  for (int rank = 0; rank < num_ranks(); ++rank) send(rank, load);
  for (int rank = 0; rank < num_ranks(); ++rank) await<handoff::Loaded>(rank);
}

handoff::Step Agent::with_samples(handoff::Step step) const {
  const auto batch = static_cast<uint64_t>(plan_.islands[0].samples());
  const uint64_t first = static_cast<uint64_t>(step.step) * batch;
  step.samples = {{first, first + batch}};
  return step;
}

std::vector<handoff::StepDone> Agent::step(handoff::Step step) {
  step = with_samples(std::move(step));
  for (int rank = 0; rank < num_ranks(); ++rank) send(rank, step);
  std::vector<handoff::StepDone> done;
  for (int rank = 0; rank < num_ranks(); ++rank) done.push_back(await<handoff::StepDone>(rank));
  return done;
}

}  // namespace skarv::train
