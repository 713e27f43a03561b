// The bytes of an .idx file, shared by its reader and its writer. All little-endian, unaligned:
//   "MMIDIDX\0\0", u64 version = 1, u8 token type, u64 S sequences, u64 D document borders,
//   i32 lengths[S], i64 byte offsets[S], i64 borders[D] (indices of sequences, from 0 to S)
#pragma once

#include <cstdint>
#include <string_view>

namespace skarv {

inline constexpr std::string_view kIndexMagic{"MMIDIDX\0\0", 9};
inline constexpr uint64_t kIndexVersion = 1;
inline constexpr uint64_t kIndexHeaderBytes = 9 + 8 + 1 + 8 + 8;
inline constexpr uint8_t kTokenInt32 = 4;
inline constexpr uint8_t kTokenUint16 = 8;
inline constexpr int32_t kSmallVocabulary = 65500;  // below it Megatron takes 16 bits

}  // namespace skarv
