// fp32, little-endian: the reference that other codecs are compared with, and the codec of exact
// mode.
#pragma once

#include "wan/codec/codec.h"

namespace skarv {

const Codec& identity_codec();

}  // namespace skarv
