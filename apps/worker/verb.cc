#include "verb.h"

#include "device/plugin.h"

namespace skarv::worker {

Result<Device> open_device(const std::string& plugin, const std::string& chip) {
  if (!plugin.empty()) {
    SKARV_ASSIGN(Plugin loaded, load_plugin(plugin));
    return Device::open(loaded.name);
  }
  return Device::open(chip.empty() || chip == "cpu" ? "cpu" : "cuda");
}

}  // namespace skarv::worker
