// The host's processor: the reference, and the staging side of every other device.
#include <c10/core/Device.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <limits>

#include "device/backend.h"
#include "device/cpu_memory.h"

namespace skarv {
namespace {

// The value of "key: value" or "key value" in a file of /proc, empty when absent.
std::string proc_value(const char* path, const std::string& key) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (line.compare(0, key.size(), key) != 0) continue;
    const size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    const size_t first = line.find_first_not_of(" \t", colon + 1);
    return first == std::string::npos ? "" : line.substr(first);
  }
  return "";
}

int64_t read_bytes(const char* path) {
  std::ifstream file(path);
  int64_t bytes = 0;
  return file >> bytes ? bytes : std::numeric_limits<int64_t>::max();  // "max" or no such file
}

class CpuBackend : public Backend {
 public:
  DeviceKind kind() const override { return DeviceKind::kCpu; }
  std::string prefix() const override { return "cpu"; }
  int num_devices() const override { return 1; }
  c10::Device torch_device(int) const override { return c10::Device(c10::DeviceType::CPU); }
  std::string chip(int) const override {
    const std::string model = proc_value("/proc/cpuinfo", "model name");
    return model.empty() ? "cpu" : model;
  }
  bool has_streams() const override { return false; }
  bool has_pinned_host() const override { return false; }

  MemoryFigures memory(int) const override {
    const CpuMemory counted = cpu_memory();
    const int64_t physical = int64_t{sysconf(_SC_PHYS_PAGES)} * sysconf(_SC_PAGESIZE);
    const std::string available = proc_value("/proc/meminfo", "MemAvailable");  // "123 kB"
    const int64_t host_free = available.empty() ? physical : std::stoll(available) * 1024;
    const int64_t limit = read_bytes("/sys/fs/cgroup/memory.max");
    const int64_t used = read_bytes("/sys/fs/cgroup/memory.current");
    MemoryFigures figures;
    figures.total_bytes = std::min(physical, limit);
    figures.free_bytes =
        limit <= physical && used <= limit ? std::min(host_free, limit - used) : host_free;
    figures.allocated_bytes = counted.allocated_bytes;
    figures.peak_bytes = counted.peak_bytes;
    return figures;
  }
  void reset_peak(int) const override { reset_cpu_peak(); }
  void release_cached() const override {}
  void make_current(int) const override {}
  void synchronize(int) const override {}
};

}  // namespace

const Backend& cpu_backend() {
  static const CpuBackend backend;
  return backend;
}

}  // namespace skarv
