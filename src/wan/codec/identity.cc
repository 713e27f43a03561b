#include "wan/codec/identity.h"

#include <bit>
#include <cmath>
#include <cstring>

#include "base/text.h"
#include "wan/arithmetic.h"

namespace skarv {

namespace {

static_assert(std::endian::native == std::endian::little, "the wire is little-endian");

class IdentityCodec final : public Codec {
 public:
  CodecKind kind() const override { return CodecKind::kIdentity; }
  uint32_t version() const override { return 1; }
  bool lossless() const override { return true; }
  int64_t block() const override { return 1; }
  int64_t encoded_bytes(int64_t num_values) const override { return 4 * num_values; }
  double bits_per_parameter() const override { return 32; }
  double relative_error() const override { return 0; }
  double absolute_error() const override { return 0; }

  Status encode(std::span<const float> values, std::span<std::byte> out) const override {
    if (out.size() != values.size_bytes()) return bug("identity codec: wrong size of the output");
    if (!arithmetic::all_finite(values)) {
      size_t index = 0;
      while (std::isfinite(values[index])) ++index;
      return Status(Code::kInvalidArgument, Scope::kSite,
                    cat("value ", index, " is ", values[index], ": only finite values travel"));
    }
    if (!out.empty()) std::memcpy(out.data(), values.data(), out.size());
    return Status();
  }

  Status decode(std::span<const std::byte> bytes, std::span<float> out) const override {
    if (bytes.size() != out.size_bytes()) {
      return Status(Code::kDataLoss, Scope::kPeer,
                    cat("identity payload of ", bytes.size(), " bytes for ", out.size(),
                        " values, which take ", out.size_bytes()));
    }
    if (!bytes.empty()) std::memcpy(out.data(), bytes.data(), bytes.size());
    if (arithmetic::all_finite(out)) return Status();
    return Status(Code::kDataLoss, Scope::kPeer,
                  "identity payload with values that are not finite");
  }
};

}  // namespace

const Codec& identity_codec() {
  static const IdentityCodec codec;
  return codec;
}

}  // namespace skarv
