// Devices that libtorch knows by its generic interfaces (guard, device allocator): CUDA, which is
// ROCm too, and whatever a plug-in registered. No vendor's header is needed.
#include <ATen/Context.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/Device.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <dlfcn.h>

#include <algorithm>
#include <array>

#include "device/backend.h"

namespace skarv {
namespace {

// The name of an NVIDIA chip, asked from the driver; empty when there is none (ROCm, for one).
std::string name_from_cuda_driver(int index) {
  void* driver = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL);
  if (driver == nullptr) return "";
  const auto init = reinterpret_cast<int (*)(unsigned)>(dlsym(driver, "cuInit"));
  const auto get = reinterpret_cast<int (*)(int*, int)>(dlsym(driver, "cuDeviceGet"));
  const auto get_name =
      reinterpret_cast<int (*)(char*, int, int)>(dlsym(driver, "cuDeviceGetName"));
  std::array<char, 256> name{};
  int device = 0;
  if (init && get && get_name && init(0) == 0 && get(&device, index) == 0) {
    get_name(name.data(), static_cast<int>(name.size()) - 1, device);
  }
  return name.data();
}

class AcceleratorBackend : public Backend {
 public:
  AcceleratorBackend(DeviceKind kind, c10::DeviceType type) : kind_(kind), type_(type) {}

  DeviceKind kind() const override { return kind_; }
  std::string prefix() const override {
    if (kind_ == DeviceKind::kPlugin && !c10::is_privateuse1_backend_registered()) return "";
    return c10::DeviceTypeName(type_, /*lower_case=*/true);
  }
  int num_devices() const override {
    return c10::impl::hasDeviceGuardImpl(type_) ? guard()->deviceCount() : 0;
  }
  c10::Device torch_device(int index) const override {
    return c10::Device(type_, static_cast<c10::DeviceIndex>(index));
  }
  std::string chip(int index) const override {
    const std::string name = kind_ == DeviceKind::kCuda ? name_from_cuda_driver(index) : "";
    return name.empty() ? prefix() : name;
  }
  bool has_streams() const override { return true; }
  bool has_pinned_host() const override {
    try {
      return at::globalContext().getAcceleratorHooksInterface(type_).getPinnedMemoryAllocator() !=
             nullptr;
    } catch (const std::exception&) {
      return false;  // the interface's way of saying no
    }
  }

  MemoryFigures memory(int index) const override {
    const auto device = static_cast<c10::DeviceIndex>(index);
    c10::DeviceAllocator& memory = *allocator();
    MemoryFigures figures;
    const auto [free, total] = memory.getMemoryInfo(device);
    figures.free_bytes = static_cast<int64_t>(free);
    figures.total_bytes = static_cast<int64_t>(total);
    const auto all = static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE);
    const auto stats = memory.getDeviceStats(device);
    figures.allocated_bytes = stats.allocated_bytes[all].current;
    figures.peak_bytes = stats.allocated_bytes[all].peak;
    return figures;
  }
  void reset_peak(int index) const override {
    allocator()->resetPeakStats(static_cast<c10::DeviceIndex>(index));
  }
  void release_cached() const override { allocator()->emptyCache(); }
  void make_current(int index) const override { guard()->setDevice(torch_device(index)); }
  void synchronize(int index) const override {
    guard()->synchronizeDevice(static_cast<c10::DeviceIndex>(index));
  }

 private:
  const c10::impl::DeviceGuardImplInterface* guard() const {
    return c10::impl::getDeviceGuardImpl(type_);
  }
  // CUDA has its allocator only once it is initialized.
  c10::DeviceAllocator* allocator() const {
    at::globalContext().lazyInitDevice(type_);
    return c10::getDeviceAllocator(type_);
  }

  const DeviceKind kind_;
  const c10::DeviceType type_;
};

}  // namespace

const Backend& cuda_backend() {
  static const AcceleratorBackend backend(DeviceKind::kCuda, c10::DeviceType::CUDA);
  return backend;
}

const Backend& plugin_backend() {
  static const AcceleratorBackend backend(DeviceKind::kPlugin, c10::DeviceType::PrivateUse1);
  return backend;
}

}  // namespace skarv
