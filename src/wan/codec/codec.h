// How values travel between sites. A codec is stateless and thread-safe; its encoded form is a pure
// function of kind, version and number of values, little-endian, without a header: what it is comes
// with the record (codec and version) and is proven by digest. Decoding is bit-equal on every
// machine; encoding runs in one place, so it may use whatever the machine has.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/status.h"
#include "spec/run.h"

namespace skarv {

class Codec {
 public:
  virtual ~Codec() = default;

  virtual CodecKind kind() const = 0;
  virtual uint32_t version() const = 0;  // raised when the encoded form or its meaning changes
  virtual bool lossless() const = 0;     // no residual is needed

  // Values are coded in blocks of this size; the encoding of whole blocks followed by the encoding
  // of the rest is the encoding of all.
  virtual int64_t block() const = 0;
  virtual int64_t encoded_bytes(int64_t num_values) const = 0;
  virtual double bits_per_parameter() const = 0;
  // |x - decode(encode(x))| <= relative_error() * (largest magnitude of x's block) +
  // absolute_error().
  virtual double relative_error() const = 0;
  virtual double absolute_error() const = 0;

  // REQUIRES: out.size() == encoded_bytes(values.size()); else kInternal. A value that is not
  // finite, or too large for the codec, is kInvalidArgument and names its index.
  virtual Status encode(std::span<const float> values, std::span<std::byte> out) const = 0;
  // From anywhere, so everything is checked: wrong length, scales or padding are kDataLoss. `out`
  // then holds nothing of use.
  virtual Status decode(std::span<const std::byte> bytes, std::span<float> out) const = 0;
};

// The registry: every codec there is. A new one is a file and a line in codec.cc.
const Codec& codec_of(CodecKind kind);
// By name ("identity", "int4"); error: kNotFound with the nearest name.
Result<const Codec*> find_codec(std::string_view name);

}  // namespace skarv
