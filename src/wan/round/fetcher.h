// What an island still has to ask for: bytes that were pushed and did not come, and bytes of rounds
// long past. It waits while there is progress, asks one donor at a time, the next one after each
// try, and backs off by 2^tries (rule 12). Pure bookkeeping.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "wan/round/message.h"
#include "wan/round/timers.h"

namespace skarv::wan {

class Fetcher {
 public:
  struct Key {
    FetchKind kind = FetchKind::kPayload;
    int64_t round = 0;
    int slab = 0;
    std::string island;  // whose contribution
    auto operator<=>(const Key&) const = default;
  };
  struct Ask {
    std::string to;
    Key key;
    Digest digest;
  };

  explicit Fetcher(const Timers& timers) : timers_(timers) {}

  // Does nothing when it is wanted already. Donors are asked in this order; with `pushed`, the
  // first one is sending by itself and is asked only after it stood still for a while.
  void want(const Key& key, const Digest& digest, std::vector<std::string> donors, bool pushed,
            Time now);
  bool wants(const Key& key) const { return wanted_.contains(key); }
  // The digest asked for; zero when unknown.
  Digest digest_of(const Key& key) const;
  void done(const Key& key) { wanted_.erase(key); }
  // The bytes came and were wrong, or the donor has none. True: every donor said so, twice.
  bool refused(const Key& key, const std::string& from, Time now);
  void drop_rounds_through(int64_t round);
  void drop(FetchKind kind);
  void clear() { wanted_.clear(); }

  void progress(const std::string& peer, Time now);  // bytes of it arrived
  void reconnected(const std::string& peer);         // what was under way from it is lost
  // Donors asked in vain at least once and still owing something.
  std::vector<std::string> owing() const;
  std::vector<Ask> poll(Time now);
  size_t size() const { return wanted_.size(); }

 private:
  struct Entry {
    Digest digest;
    std::vector<std::string> donors;
    size_t next = 0;  // index of the donor to ask next
    int num_tries = 0, num_absent = 0;
    std::string waiting_for;
    bool asked = false;  // not only expected
    Time next_at{};
  };
  const Timers timers_;
  std::map<Key, Entry> wanted_;
};

}  // namespace skarv::wan
