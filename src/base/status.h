// What a function says when it fails. Libraries never exit and never print: they return a Status,
// and the program at the top decides. A message for a person has four parts: what failed, where,
// the exact cause (all in `message`), and what to do (`hint`).
#pragma once

#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <utility>
#include <variant>

namespace skarv {

enum class Code {
  kOk,
  kInvalidArgument,  // the input is wrong; trying again will not help
  kNotFound,
  kAlreadyExists,
  kFailedPrecondition,  // right input at the wrong moment
  kResourceExhausted,   // disk, memory, ports
  kDeadlineExceeded,
  kUnavailable,       // a peer is gone or refuses; another try may work
  kDataLoss,          // bytes are not what they should be
  kPermissionDenied,  // certificate, token, fence
  kCancelled,
  kInternal,  // a bug of ours
};

// The largest thing that is hurt; it decides the reaction (retry, reconnect, restart, stop).
enum class Scope { kConfig, kLink, kPeer, kSite, kRun, kBug };

const char* name_of(Code code);
const char* name_of(Scope scope);

// One word wide; ok is the null pointer. Copies share the detail.
class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(Code code, Scope scope, std::string message);

  bool ok() const { return detail_ == nullptr; }
  Code code() const { return ok() ? Code::kOk : detail_->code; }
  Scope scope() const { return ok() ? Scope::kRun : detail_->scope; }
  const std::string& message() const;
  const std::string& hint() const;
  const std::string& origin() const;

  // Each returns a changed copy; all do nothing on ok.
  Status with_hint(std::string hint) const;       // what to do about it
  Status at(std::string origin) const;            // where: "run.toml:12", "north/a/0"
  Status wrap(const std::string& context) const;  // "context: message"

  // "invalid argument (config) at run.toml:12: ... \n  hint: ..."
  std::string to_string() const;

 private:
  struct Detail {
    Code code;
    Scope scope;
    std::string message, hint, origin;
  };
  std::shared_ptr<const Detail> detail_;
};

inline std::ostream& operator<<(std::ostream& out, const Status& status) {
  return out << status.to_string();
}

// Shorthands for the commonest pairs of code and scope.
Status config_error(std::string message);  // kInvalidArgument, kConfig
Status bug(std::string message);           // kInternal, kBug
// From errno, with the file or socket it happened on.
Status io_error(const std::string& what, const std::string& where, int error_number);

// A value or the reason why there is none.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}         // NOLINT
  Result(Status status) : state_(std::in_place_index<1>, std::move(status)) {}  // NOLINT

  bool ok() const { return state_.index() == 0; }
  Status status() const { return ok() ? Status() : std::get<1>(state_); }
  // REQUIRES: ok().
  T& value() & { return std::get<0>(state_); }
  const T& value() const& { return std::get<0>(state_); }
  T&& value() && { return std::get<0>(std::move(state_)); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

 private:
  std::variant<T, Status> state_;
};

}  // namespace skarv

#define SKARV_CONCAT_(a, b) a##b
#define SKARV_CONCAT(a, b) SKARV_CONCAT_(a, b)

// Returns from the enclosing function when `expression` (a Status) is not ok.
#define SKARV_TRY(expression)                                                                    \
  do {                                                                                           \
    if (::skarv::Status skarv_status_ = (expression); !skarv_status_.ok()) return skarv_status_; \
  } while (false)

// SKARV_ASSIGN(auto value, function()): the value of a Result, or return its status.
#define SKARV_ASSIGN(declaration, expression) \
  SKARV_ASSIGN_(SKARV_CONCAT(skarv_result_, __LINE__), declaration, expression)
#define SKARV_ASSIGN_(result, declaration, expression) \
  auto result = (expression);                          \
  if (!result.ok()) return result.status();            \
  declaration = std::move(result).value()
