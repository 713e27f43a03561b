// Blocks of 64 values as four-bit levels -8..7 of a signed scale: 4.25 bits a parameter.
//   block:  scale (bf16, little-endian), then 32 bytes: byte i holds value i in its low half and
//           value i + 32 in its high half, each as level + 8
//   value = level * scale
// A last block of r < 64 values has (r + 1) / 2 bytes, value i + (r + 1) / 2 in the high half; an
// unused half is level 0. The scale's sign puts the level -8 on the side of the largest magnitude,
// so all 16 levels are used; its size is such that neither end is cut by more than half a level.
// Level times scale has at most 11 significant bits: decoding is exact in fp32, whatever the
// processor fuses. A scale is +0 (all values zero) or of magnitude 2^-104 to 2^118.
#pragma once

#include "wan/codec/codec.h"

namespace skarv {

const Codec& int4_codec();

}  // namespace skarv
