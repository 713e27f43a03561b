// Runs the ranks of an island as threads of this process, connected over a transport of src/net.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "comm/edges.h"
#include "net/transport.h"

namespace skarv::comm {

inline net::Options test_options(const std::string& name) {
  net::Options options;
  options.run = "test";
  options.name = name;
  options.detection_time = std::chrono::seconds(5);
  return options;
}

// `body` runs once a rank, with edges to every other rank. Names are "north/a/<rank>" unless given.
inline void run_ranks(const std::string& transport_name, int num_ranks,
                      const std::function<void(Edges&)>& body,
                      std::vector<std::string> names = {}) {
  auto transport = net::make_transport(transport_name);
  ASSERT_TRUE(transport.ok()) << transport.status();
  Roster roster;
  std::vector<std::unique_ptr<Lobby>> lobbies;
  for (int rank = 0; rank < num_ranks; ++rank) {
    if (static_cast<int>(names.size()) <= rank) names.push_back("north/a/" + std::to_string(rank));
    auto lobby = Lobby::open(*transport, "127.0.0.1:0", test_options(names[rank]));
    ASSERT_TRUE(lobby.ok()) << lobby.status();
    roster.addresses.push_back((*lobby)->address());
    lobbies.push_back(std::move(*lobby));
  }
  roster.names = names;
  std::vector<int> all;
  for (int rank = 0; rank < num_ranks; ++rank) all.push_back(rank);
  const Device device = Device::open("cpu").value();
  std::atomic<bool> cancelled{false};
  std::atomic<int> num_left{num_ranks};
  std::vector<std::thread> threads;
  for (int rank = 0; rank < num_ranks; ++rank) {
    threads.emplace_back([&, rank] {
      Roster own = roster;
      own.rank = rank;
      auto edges = Edges::connect(*lobbies[rank], own, all, device,
                                  net::deadline_in(std::chrono::seconds(10)), cancelled);
      EXPECT_TRUE(edges.ok()) << edges.status();
      if (edges.ok()) {
        body(**edges);
        EXPECT_TRUE((*edges)->flush(net::deadline_in(std::chrono::seconds(10))).ok());
      }
      --num_left;
      // Nobody leaves before all are done, so that leaving is not taken for a failure.
      while (num_left > 0) std::this_thread::yield();
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace skarv::comm
