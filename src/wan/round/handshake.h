// What has to be equal before an island takes part (protocol.md, 8). Patch releases may differ.
#pragma once

#include "base/status.h"
#include "spec/run.h"
#include "spec/slab.h"
#include "wan/round/message.h"

namespace skarv::wan {

struct Handshake {
  Digest run, slab_table, self_test;
  uint32_t upload_version = 0, download_version = 0;

  // Of this process: runs the arithmetic self-test.
  static Result<Handshake> of(const Run& run, const SlabTable& table);
  uint64_t run_id() const;  // stands in every fence
  Hello hello(const std::string& address) const;
  // Error: kFailedPrecondition, saying what differs and what to do.
  Status check(const Hello& hello, const std::string& from) const;
};

// chain(0): every run has its own.
Digest genesis_chain(const Handshake& handshake);

}  // namespace skarv::wan
