// Devices from outside the tree: any shared library that registers libtorch's PrivateUse1 backend
// (Ascend's, Moore Threads', Cambricon's, our toy). Skarv knows none of them: it loads a path.
#pragma once

#include <filesystem>
#include <string>

#include "base/status.h"

namespace skarv {

struct Plugin {
  std::string name;     // the prefix of its device names, chosen by it: "npu", "toy"
  int num_devices = 0;  // at least 1
};

// Loads the library, initializes the backend and proves it with a tiny backward pass on each
// device. A worker does it after apply(Numerics) and before any op or backward pass: libtorch's
// autograd engine counts the devices, and starts its threads, once, at the first one. At most one
// plug-in a process, which stays until its end; the same path again is no error, changes nothing.
//
// Error: kNotFound (no such file), kInvalidArgument (not a library that loads here, with the
// loader's reason, or it registers no backend), kFailedPrecondition (a backward pass ran before, or
// another plug-in is loaded), kUnavailable (it has no device on this machine).
Result<Plugin> load_plugin(const std::filesystem::path& path);

}  // namespace skarv
