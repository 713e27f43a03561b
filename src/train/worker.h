// A worker's life on its side of the channel: say hello, take an assignment, connect, load, step,
// until the agent says stop or is gone (handoff/messages.h has the order of words). A worker whose
// agent is gone may offer the next agent the memory that it holds: outer state outlives an agent.
//
// Three threads: the caller's computes; one reads the channel, so that a new incarnation interrupts
// whatever waits; one sends heartbeats.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "handoff/channel.h"
#include "handoff/memory.h"
#include "net/transport.h"
#include "train/sample_source.h"

namespace skarv::train {

struct WorkerOptions {
  std::string device;                         // "site/host/index"
  std::string session;                        // of the agent
  std::string torch;                          // version, for the agent's records
  std::string address = "127.0.0.1:0";        // where its peers reach it
  std::shared_ptr<net::Transport> transport;  // for edges
  // Where samples come from, if not from the run's data folder.
  std::shared_ptr<const SampleSource> samples;
  // With several workers in one process (tests): plug-in and thread settings, which are of the
  // whole process, stay as they are.
  bool owns_process = true;
};

struct WorkerEnd {
  bool stopped = false;                         // by the agent's word; else the agent is gone
  std::optional<handoff::SharedMemory> memory;  // what was held when the agent went
};

// `kept`: memory of an earlier session, sent along with the hello. Error: what the agent was told
// in Failed.
Result<WorkerEnd> run_worker(handoff::Channel channel, const WorkerOptions& options,
                             std::optional<handoff::SharedMemory> kept = std::nullopt);

}  // namespace skarv::train
