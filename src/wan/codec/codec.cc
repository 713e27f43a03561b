#include "wan/codec/codec.h"

#include <array>
#include <string>
#include <vector>

#include "base/text.h"
#include "wan/codec/identity.h"
#include "wan/codec/int4.h"

namespace skarv {

namespace {
std::array<const Codec*, 2> all_codecs() { return {&identity_codec(), &int4_codec()}; }
}  // namespace

const Codec& codec_of(CodecKind kind) {
  for (const Codec* codec : all_codecs()) {
    if (codec->kind() == kind) return *codec;
  }
  return identity_codec();  // unreachable: every kind is listed (codec_test)
}

Result<const Codec*> find_codec(std::string_view name) {
  std::vector<std::string> names;
  for (const Codec* codec : all_codecs()) {
    if (name == name_of(codec->kind())) return codec;
    names.push_back(name_of(codec->kind()));
  }
  const std::string nearest = nearest_name(name, names);
  return Status(Code::kNotFound, Scope::kConfig, cat("there is no codec \"", name, "\""))
      .with_hint(nearest.empty() ? "choose one of: " + join(names, ", ")
                                 : "did you mean \"" + nearest + "\"?");
}

}  // namespace skarv
