// What a lead's append-only log holds (protocol.md, 3). The machine asks for entries to be durable
// before what depends on them is sent; the driver turns them into bytes.
#pragma once

#include <variant>

#include "wan/round/record.h"
#include "wan/round/view.h"

namespace skarv::wan {

struct LogPromise {
  Term term;
  View view;
  int64_t generation = 0;
  int64_t life = 0;  // which start of the machine wrote it
};
struct LogAccept {
  Record record;
};
struct LogCommit {
  int64_t round = 0;
  Digest record, chain;
};
using LogEntry = std::variant<LogPromise, LogAccept, LogCommit>;

}  // namespace skarv::wan
