// The coordinator's desk for sample leases: a LeaseBook whose holders are generations of islands'
// local weights, and the last lease of each, so that a request that comes twice gets one answer.
// Pure; the machine persists to_json() before it answers.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/json.h"
#include "spec/lease.h"
#include "wan/round/message.h"

namespace skarv::wan {

class LeaseDesk {
 public:
  // Error: kInvalidArgument for a torn or foreign file.
  static Result<LeaseDesk> from_json(const Json& json);
  Json to_json() const;

  // True: the book changed. `answer` is the lease to send, also for a repeated request; an id of 0
  // means that the request is out of date. Error: kResourceExhausted.
  Result<bool> grant(const std::string& island, const LeaseRequest& request, const SampleLane& lane,
                     Lease* answer);
  // Does that generation hold every sample that the contribution lists?
  bool holds(const Contribution& contribution) const;
  // Error: kFailedPrecondition; then nothing is counted.
  Status used(const Contribution& contribution);
  // Everything that older generations of the island hold goes back. Returns the number of samples.
  uint64_t release_before(const std::string& island, int64_t generation);

  const LeaseBook& book() const { return book_; }

 private:
  LeaseBook book_;
  std::map<std::string, Lease> last_;  // by island
};

}  // namespace skarv::wan
