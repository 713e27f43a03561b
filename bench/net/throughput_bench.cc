// Bytes a second and round trips through a connection on loopback, both ends in this process.
#include <benchmark/benchmark.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "net/certificate.h"
#include "net/transport.h"

namespace skarv::net {
namespace {

constexpr const char* kTransports[] = {"mem", "tcp", "tls"};

class Pair {
 public:
  Pair(const std::string& name, int num_bulk_streams) {
    std::string pattern = (std::filesystem::temp_directory_path() / "skarv_bench_XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
    Options options{.run = "bench", .token = "token", .name = "a"};
    options.num_bulk_streams = num_bulk_streams;
    if (name == "tls") {
      if (!make_authority(folder_, "bench").ok()) std::abort();
      options.credentials = make_certificate(folder_, "a").value();
    }
    // A thread of its own for each end, as in two processes.
    listening_ = make_transport(name).value();
    dialing_ = name == "mem" ? listening_ : make_transport(name).value();
    listener_ = listening_->listen("127.0.0.1:0", options).value();
    const Deadline deadline = deadline_in(std::chrono::seconds(10));
    near = dialing_->connect(listener_->address(), options, deadline).value();
    far = listener_->accept(deadline).value();
  }
  ~Pair() { std::filesystem::remove_all(folder_); }

 private:
  std::filesystem::path folder_;
  std::shared_ptr<Transport> listening_, dialing_;
  std::unique_ptr<Listener> listener_;

 public:
  std::unique_ptr<Connection> near, far;
};

Deadline later() { return deadline_in(std::chrono::seconds(30)); }

void Bulk(benchmark::State& state) {
  Pair pair(kTransports[state.range(0)], static_cast<int>(state.range(1)));
  const size_t num_bytes = size_t{64} << 20;
  const Buffer body = Buffer::take(std::vector<std::byte>(num_bytes));
  for (auto _ : state) {
    if (!pair.near->send({1, "", body}, Lane::kBulk, later()).ok()) std::abort();
    if (!pair.far->receive(later()).ok()) std::abort();
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * num_bytes));
  state.SetLabel(kTransports[state.range(0)]);
}
BENCHMARK(Bulk)
    ->ArgsProduct({{1, 2}, {1, 2, 4}})
    ->ArgNames({"transport", "streams"})
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

void RoundTrip(benchmark::State& state) {
  Pair pair(kTransports[state.range(0)], 1);
  std::thread echo([&] {
    while (true) {
      Result<Message> message = pair.far->receive(later());
      if (!message.ok()) return;
      if (!pair.far->send(*std::move(message), Lane::kControl, later()).ok()) return;
    }
  });
  for (auto _ : state) {
    if (!pair.near->send({1, "ping", {}}, Lane::kControl, later()).ok()) std::abort();
    if (!pair.near->receive(later()).ok()) std::abort();
  }
  pair.near.reset();
  echo.join();
  state.SetLabel(kTransports[state.range(0)]);
}
BENCHMARK(RoundTrip)->DenseRange(0, 2)->ArgName("transport")->UseRealTime();

}  // namespace
}  // namespace skarv::net
