#include "device/device.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/ones.h>
#include <c10/core/Device.h>

#include <array>
#include <charconv>

#include "device/backend.h"
#include "device/torch_error.h"

namespace skarv {
namespace {

// Every kind of device that Skarv knows.
const std::array<const Backend*, 3>& backends() {
  static const std::array<const Backend*, 3> list = {&cpu_backend(), &cuda_backend(),
                                                     &plugin_backend()};
  return list;
}

bool runs_bf16(const c10::Device& device) {
  try {
    const at::Tensor ones =
        at::ones({8, 8}, at::TensorOptions().device(device).dtype(at::kBFloat16));
    return at::mm(ones, ones).cpu().to(at::kFloat).sum().item<float>() == 512.0f;
  } catch (const std::exception&) {
    return false;
  }
}

std::string list_of(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

}  // namespace

const Backend& backend_of(DeviceKind kind) {
  for (const Backend* backend : backends()) {
    if (backend->kind() == kind) return *backend;
  }
  return cpu_backend();
}

const char* name_of(DeviceKind kind) {
  switch (kind) {
    case DeviceKind::kCpu:
      return "cpu";
    case DeviceKind::kCuda:
      return "cuda";
    case DeviceKind::kPlugin:
      return "plug-in";
  }
  return "unknown";
}

std::vector<std::string> Device::available() {
  std::vector<std::string> names;
  for (const Backend* backend : backends()) {
    for (int i = 0; i < backend->num_devices(); ++i) {
      names.push_back(backend->kind() == DeviceKind::kCpu
                          ? backend->prefix()
                          : backend->prefix() + ":" + std::to_string(i));
    }
  }
  return names;
}

Result<Device> Device::open(const std::string& name) {
  const size_t colon = name.find(':');
  const std::string prefix = name.substr(0, colon);
  int index = 0;
  bool well_formed = !prefix.empty();
  if (colon != std::string::npos) {
    const char* end = name.data() + name.size();
    const auto [stopped, error] = std::from_chars(name.data() + colon + 1, end, index);
    well_formed = well_formed && error == std::errc() && stopped == end && index >= 0;
  }
  for (const Backend* backend : backends()) {
    if (!well_formed || backend->prefix() != prefix || index >= backend->num_devices()) continue;
    const bool is_cpu = backend->kind() == DeviceKind::kCpu;
    return Device(backend->kind(), index, is_cpu ? prefix : prefix + ":" + std::to_string(index));
  }
  return Status(Code::kNotFound, Scope::kConfig,
                "no device \"" + name + "\"; this process has " + list_of(available()))
      .with_hint(prefix == "cuda" ? "a CUDA or ROCm wheel of libtorch and a driver are needed"
                                  : "a plug-in's devices exist once its library is loaded");
}

c10::Device Device::torch_device() const { return backend_of(kind_).torch_device(index_); }

Result<DeviceAttributes> Device::attributes() const {
  return guarded("attributes of " + name_, [&]() -> Result<DeviceAttributes> {
    const Backend& backend = backend_of(kind_);
    return DeviceAttributes{backend.chip(index_), runs_bf16(torch_device()), backend.has_streams(),
                            backend.has_pinned_host()};
  });
}

Result<MemoryFigures> Device::memory() const {
  return guarded("memory figures of " + name_,
                 [&]() -> Result<MemoryFigures> { return backend_of(kind_).memory(index_); });
}

Status Device::reset_peak() const {
  return guarded("reset of peak memory of " + name_, [&] { backend_of(kind_).reset_peak(index_); });
}

Status Device::release_cached() const {
  return guarded("release of cached memory of " + name_,
                 [&] { backend_of(kind_).release_cached(); });
}

Status Device::make_current() const {
  return guarded("make " + name_ + " current", [&] { backend_of(kind_).make_current(index_); });
}

Status Device::synchronize() const {
  return guarded("synchronize " + name_, [&] { backend_of(kind_).synchronize(index_); });
}

}  // namespace skarv
