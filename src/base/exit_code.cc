#include "base/exit_code.h"

#include <filesystem>

namespace skarv {

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
      return kExitInterrupted;
    case Code::kResourceExhausted:  // of a configuration: a plan that does not fit
      return status.scope() == Scope::kConfig ? kExitBadInput : kExitFailed;
  }
  return kExitFailed;
}

Status status_of(const std::exception& unexpected) {
  if (const auto* error = dynamic_cast<const std::filesystem::filesystem_error*>(&unexpected)) {
    return io_error("cannot be used", error->path1().string(), error->code().value());
  }
  return bug(std::string("an exception reached main: ") + unexpected.what())
      .with_hint("report it with the command line and the files it names");
}

Status status_of_exit(int exit_code, std::string message) {
  switch (exit_code) {
    case kExitOk:
      return Status();
    case kExitFailed:
      return Status(Code::kResourceExhausted, Scope::kRun, std::move(message));
    case kExitBadInput:
      return Status(Code::kInvalidArgument, Scope::kConfig, std::move(message));
    case kExitDataLoss:
      return Status(Code::kDataLoss, Scope::kRun, std::move(message));
    case kExitBug:
      return bug(std::move(message));
    case kExitInterrupted:
      return Status(Code::kCancelled, Scope::kRun, std::move(message));
    default:
      return Status(Code::kUnavailable, Scope::kRun, std::move(message));
  }
}

}  // namespace skarv
