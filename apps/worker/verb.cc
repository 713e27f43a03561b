#include "verb.h"

#include "device/plugin.h"

namespace skarv::worker {

ExitCode exit_code_of(const Status& status) {
  switch (status.code()) {
    case Code::kOk:
      return kExitOk;
    case Code::kInvalidArgument:
    case Code::kNotFound:
    case Code::kAlreadyExists:
    case Code::kFailedPrecondition:
      return kExitBadInput;
    case Code::kPermissionDenied:
      return status.scope() == Scope::kConfig ? kExitBadInput : kExitUnavailable;
    case Code::kDeadlineExceeded:
    case Code::kUnavailable:
      return kExitUnavailable;
    case Code::kDataLoss:
      return kExitDataLoss;
    case Code::kInternal:
      return kExitBug;
    case Code::kCancelled:
    case Code::kResourceExhausted:
      return kExitFailed;
  }
  return kExitFailed;
}

Result<Device> open_device(const std::string& plugin, const std::string& chip) {
  if (!plugin.empty()) {
    SKARV_ASSIGN(Plugin loaded, load_plugin(plugin));
    return Device::open(loaded.name);
  }
  return Device::open(chip.empty() || chip == "cpu" ? "cpu" : "cuda");
}

}  // namespace skarv::worker
