#include "device/torch_error.h"

#include <c10/util/Exception.h>

#include <new>

namespace skarv {
namespace {

Status out_of_memory(const std::string& what, const std::string& cause) {
  return Status(Code::kResourceExhausted, Scope::kRun, what + ": out of memory: " + cause)
      .with_hint("a smaller microbatch, recomputation, or fewer layers on this device");
}

}  // namespace

Status status_of_exception(const std::string& what) {
  try {
    throw;
  } catch (const c10::OutOfMemoryError& error) {
    return out_of_memory(what, error.what_without_backtrace());
  } catch (const std::bad_alloc& error) {
    return out_of_memory(what, error.what());
  } catch (const c10::Error& error) {
    // The CPU allocator of torch has no exception of its own for this.
    const std::string cause = error.what_without_backtrace();
    if (cause.find("can't allocate memory") != std::string::npos) return out_of_memory(what, cause);
    return Status(Code::kInternal, Scope::kRun, what + ": " + cause);
  } catch (const std::exception& error) {
    return Status(Code::kInternal, Scope::kRun, what + ": " + error.what());
  } catch (...) {
    return Status(Code::kInternal, Scope::kRun, what + ": an exception of unknown type");
  }
}

}  // namespace skarv
