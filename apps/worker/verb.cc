#include "verb.h"

#include "device/ordinal.h"
#include "device/plugin.h"

namespace skarv::worker {

Result<Device> open_device(const std::string& plugin, const std::string& chip, int ordinal,
                           bool emulated) {
  if (!plugin.empty()) {
    SKARV_ASSIGN(Plugin loaded, load_plugin(plugin));
    return open_by_ordinal(loaded.name, ordinal, emulated);
  }
  return open_by_ordinal(chip.empty() || chip == "cpu" ? "cpu" : "cuda", ordinal, emulated);
}

}  // namespace skarv::worker
