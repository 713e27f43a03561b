#include <torch/headeronly/version.h>

#include <cstdint>

#include "base/text.h"
#include "verb.h"

// Of libtorch's stable C interface; its header would bring all of it.
extern "C" uint64_t aoti_torch_abi_version();

namespace skarv::worker {

Result<std::string> check_torch_version() {
  const uint64_t version = aoti_torch_abi_version();
  const int major = static_cast<int>(version >> 56), minor = static_cast<int>(version >> 48 & 0xff),
            patch = static_cast<int>(version >> 40 & 0xff);
  if (major != TORCH_VERSION_MAJOR || minor != TORCH_VERSION_MINOR) {
    return Status(Code::kFailedPrecondition, Scope::kConfig,
                  cat("this worker was built for libtorch ", TORCH_VERSION_MAJOR, ".",
                      TORCH_VERSION_MINOR, " and runs with ", major, ".", minor))
        .with_hint("build it again with the Python whose torch is installed here");
  }
  return cat(major, ".", minor, ".", patch);
}

}  // namespace skarv::worker
