// Reads the fields of a JSON object that came from somebody else: every type, range and length is
// checked, the first fault stays, nothing throws. Unknown keys are ignored, so that a newer peer
// may say more.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>

#include "base/digest.h"
#include "base/json.h"
#include "base/status.h"

namespace skarv::wan {

inline constexpr size_t kMaxIslands = 1024;
inline constexpr size_t kMaxNameBytes = 256;
inline constexpr size_t kMaxSlabs = 1 << 20;
inline constexpr size_t kMaxRanges = 1 << 16;

class Fields {
 public:
  // `json` outlives this.
  Fields(const Json& json, std::string origin);

  // Each gives a harmless value after a fault.
  int64_t integer(const char* key, int64_t least = std::numeric_limits<int64_t>::min(),
                  int64_t most = std::numeric_limits<int64_t>::max());
  uint64_t word(const char* key, uint64_t most = std::numeric_limits<uint64_t>::max());
  double number(const char* key);
  bool flag(const char* key);
  std::string text(const char* key, size_t max_bytes);
  Digest digest(const char* key);
  const Json& array(const char* key, size_t max_size);
  const Json& object(const char* key);
  bool has(const char* key) const;

  void fail(const char* key, const std::string& what);
  const Status& status() const { return status_; }

 private:
  const Json* find(const char* key);
  const Json& json_;
  std::string origin_;
  Status status_;
};

}  // namespace skarv::wan
