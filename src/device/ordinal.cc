#include "device/ordinal.h"

#include "base/text.h"

namespace skarv {

Result<Device> open_by_ordinal(const std::string& prefix, int ordinal, bool emulated) {
  if (prefix == "cpu") return Device::open(prefix);
  Result<Device> own = Device::open(cat(prefix, ":", ordinal));
  Result<Device> first = Device::open(prefix);
  if (own.ok() || !first.ok()) return own;
  if (emulated) return first;
  return own.status().with_hint(
      "give the host in the cluster file as many devices as it has, or emulate them with pace");
}

}  // namespace skarv
