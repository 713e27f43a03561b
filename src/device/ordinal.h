// From a cluster file's device to one of this process: the file counts a host's devices, libtorch
// those of one kind.
#pragma once

#include <string>

#include "base/status.h"
#include "device/device.h"

namespace skarv {

// Device `ordinal` of the kind `prefix` ("cpu", "cuda", a plug-in's name). The processor is one
// device, however many of the file's devices compute on it. An `emulated` (paced) device that this
// host lacks shares the kind's first one.
// Error: kNotFound, when the host has fewer than the cluster file says.
Result<Device> open_by_ordinal(const std::string& prefix, int ordinal, bool emulated);

}  // namespace skarv
