#include "device/plugin.h"

#include <ATen/Context.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <ATen/ops/ones.h>
#include <c10/core/DeviceType.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <dlfcn.h>

#include <mutex>
#include <optional>

#include "device/torch_error.h"

namespace skarv {
namespace {

constexpr auto kType = c10::DeviceType::PrivateUse1;

struct Loaded {
  std::filesystem::path path;
  Plugin plugin;
};

Status refused(Code code, const std::string& cause, const std::string& hint,
               const std::filesystem::path& path) {
  return Status(code, Scope::kConfig, "device plug-in: " + cause).with_hint(hint).at(path.string());
}

// The engine has queues only for devices that existed at its first backward pass, and libtorch
// offers no question whether that was: so ask by doing.
Status prove(const Plugin& plugin, const std::filesystem::path& path) {
  for (int i = 0; i < plugin.num_devices; ++i) {
    const c10::Device device(kType, static_cast<c10::DeviceIndex>(i));
    const std::string name = plugin.name + ":" + std::to_string(i);
    at::Tensor leaf, product;
    SKARV_TRY(guarded("device plug-in: first op on " + name, [&] {
      leaf = at::ones({2}, at::TensorOptions().device(device)).requires_grad_();
      product = (leaf * leaf).sum();
    }));
    const Status backward = guarded("first backward pass on " + name, [&] { product.backward(); });
    if (!backward.ok()) {
      return refused(Code::kFailedPrecondition, backward.message(),
                     "load plug-ins before the first backward pass of the process", path);
    }
    SKARV_TRY(guarded("device plug-in: result of " + name, [&] {
      const at::Tensor gradient = leaf.grad().cpu();
      TORCH_CHECK(gradient.sum().item<float>() == 4.0f, "the gradient of x*x at 1 is not 2");
    }));
  }
  return {};
}

Result<Plugin> load(const std::filesystem::path& path) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) {
    return refused(Code::kNotFound, "no such file", "give the path of the shared library", path);
  }
  if (c10::is_privateuse1_backend_registered()) {
    return refused(
        Code::kFailedPrecondition,
        "this process has the backend \"" + c10::get_privateuse1_backend() + "\" already",
        "libtorch holds one out-of-tree backend a process: use another worker", path);
  }
  // Global symbols, as a vendor's library is often split in parts that expect to find each other.
  // An absolute path: a name without a folder would be looked for where libraries lie.
  if (dlopen(std::filesystem::absolute(path).c_str(), RTLD_NOW | RTLD_GLOBAL) == nullptr) {
    return refused(Code::kInvalidArgument, std::string("does not load: ") + dlerror(),
                   "it must be built for this processor and this version of libtorch", path);
  }
  if (!c10::is_privateuse1_backend_registered() || !at::isPrivateUse1HooksRegistered() ||
      !c10::impl::hasDeviceGuardImpl(kType)) {
    return refused(Code::kInvalidArgument,
                   "the library loads but registers no PrivateUse1 backend (name, hooks, guard)",
                   "is it the device library itself, and not one that it needs?", path);
  }
  SKARV_TRY(
      guarded("device plug-in: initialization", [] { at::globalContext().lazyInitDevice(kType); }));
  Plugin plugin{c10::get_privateuse1_backend(),
                c10::impl::getDeviceGuardImpl(kType)->deviceCount()};
  if (plugin.num_devices < 1) {
    return refused(Code::kUnavailable, "\"" + plugin.name + "\" sees no device here",
                   "check the driver, and which devices this process may use", path);
  }
  SKARV_TRY(prove(plugin, path));
  return plugin;
}

}  // namespace

Result<Plugin> load_plugin(const std::filesystem::path& path) {
  static std::mutex mutex;
  static std::optional<Loaded> loaded;
  const std::lock_guard lock(mutex);
  std::error_code error;
  const std::filesystem::path canonical = std::filesystem::weakly_canonical(path, error);
  if (loaded && loaded->path == canonical) return loaded->plugin;
  Result<Plugin> plugin = guarded("device plug-in " + path.string(), [&] { return load(path); });
  if (plugin.ok()) loaded = Loaded{canonical, *plugin};
  return plugin;
}

}  // namespace skarv
