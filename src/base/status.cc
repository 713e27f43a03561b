#include "base/status.h"

#include <cstring>

namespace skarv {

const char* name_of(Code code) {
  switch (code) {
    case Code::kOk:
      return "ok";
    case Code::kInvalidArgument:
      return "invalid argument";
    case Code::kNotFound:
      return "not found";
    case Code::kAlreadyExists:
      return "already exists";
    case Code::kFailedPrecondition:
      return "failed precondition";
    case Code::kResourceExhausted:
      return "resource exhausted";
    case Code::kDeadlineExceeded:
      return "deadline exceeded";
    case Code::kUnavailable:
      return "unavailable";
    case Code::kDataLoss:
      return "data loss";
    case Code::kPermissionDenied:
      return "permission denied";
    case Code::kCancelled:
      return "cancelled";
    case Code::kInternal:
      return "internal";
  }
  return "unknown";
}

const char* name_of(Scope scope) {
  switch (scope) {
    case Scope::kConfig:
      return "config";
    case Scope::kLink:
      return "link";
    case Scope::kPeer:
      return "peer";
    case Scope::kSite:
      return "site";
    case Scope::kRun:
      return "run";
    case Scope::kBug:
      return "bug";
  }
  return "unknown";
}

namespace {
const std::string kEmpty;
}

Status::Status(Code code, Scope scope, std::string message) {
  if (code != Code::kOk) {
    detail_ = std::make_shared<const Detail>(Detail{code, scope, std::move(message), "", ""});
  }
}

const std::string& Status::message() const { return ok() ? kEmpty : detail_->message; }
const std::string& Status::hint() const { return ok() ? kEmpty : detail_->hint; }
const std::string& Status::origin() const { return ok() ? kEmpty : detail_->origin; }

Status Status::with_hint(std::string hint) const {
  if (ok()) return *this;
  auto changed = std::make_shared<Detail>(*detail_);
  changed->hint = std::move(hint);
  Status status;
  status.detail_ = std::move(changed);
  return status;
}

Status Status::at(std::string origin) const {
  if (ok()) return *this;
  auto changed = std::make_shared<Detail>(*detail_);
  changed->origin = std::move(origin);
  Status status;
  status.detail_ = std::move(changed);
  return status;
}

Status Status::wrap(const std::string& context) const {
  if (ok()) return *this;
  auto changed = std::make_shared<Detail>(*detail_);
  changed->message = context + ": " + changed->message;
  Status status;
  status.detail_ = std::move(changed);
  return status;
}

std::string Status::to_string() const {
  if (ok()) return "ok";
  std::string text = std::string(name_of(code())) + " (" + name_of(scope()) + ")";
  if (!origin().empty()) text += " at " + origin();
  text += ": " + message();
  if (!hint().empty()) text += "\n  hint: " + hint();
  return text;
}

Status config_error(std::string message) {
  return Status(Code::kInvalidArgument, Scope::kConfig, std::move(message));
}

Status bug(std::string message) { return Status(Code::kInternal, Scope::kBug, std::move(message)); }

Status io_error(const std::string& what, const std::string& where, int error_number) {
  Code code = Code::kUnavailable;
  const char* hint = "";
  switch (error_number) {
    case ENOENT:
      code = Code::kNotFound;
      hint = "check the path";
      break;
    case EACCES:
    case EPERM:
      code = Code::kPermissionDenied;
      hint = "check the owner and the permissions";
      break;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      code = Code::kResourceExhausted;
      hint = "free disk space, then run it again";
      break;
    case EADDRINUSE:
      hint = "another program listens there: choose another port";
      break;
    case ENAMETOOLONG:
      code = Code::kInvalidArgument;
      hint = "choose a shorter name";
      break;
    case ENOTDIR:
      code = Code::kInvalidArgument;
      hint = "a part of this path is a file: name another folder";
      break;
    case EISDIR:
      code = Code::kInvalidArgument;
      hint = "this is a folder: name a file";
      break;
    case EEXIST:
      code = Code::kAlreadyExists;
      break;
    case EIO:
      code = Code::kDataLoss;
      hint = "check the disk";
      break;
    default:
      break;
  }
  return Status(code, Scope::kRun, what + ": " + std::strerror(error_number))
      .at(where)
      .with_hint(hint);
}

}  // namespace skarv
