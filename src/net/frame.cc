#include "net/frame.h"

#include <algorithm>

#include "base/text.h"
#include "net/crc32c.h"
#include "net/wire.h"

namespace skarv::net {
namespace {

constexpr uint32_t kFrameMagic = 0x76726b73;  // "skrv"

Status damaged(const std::string& what) {
  return Status(Code::kDataLoss, Scope::kLink, "damaged frame: " + what);
}

Status check_chunk(const FrameHeader& header, uint64_t max_body_bytes) {
  if (header.head_bytes > kMaxHeadBytes) return damaged(cat("head of ", header.head_bytes));
  const uint64_t max_bytes = header.lane == Lane::kControl
                                 ? std::min(max_body_bytes, uint64_t{kMaxControlBodyBytes})
                                 : max_body_bytes;
  if (header.body_bytes > max_bytes) {
    return damaged(cat("body of ", header.body_bytes, " bytes, at most ", max_bytes, " are taken"));
  }
  const uint64_t total = header.message_bytes();
  if (header.offset > total || header.payload_bytes > total - header.offset) {
    return damaged(cat("chunk [", header.offset, ", +", header.payload_bytes, ") of ", total));
  }
  if (header.payload_bytes == 0 && total != 0) return damaged("empty chunk");
  if (header.lane == Lane::kControl && header.payload_bytes != total) {
    return damaged("control message in pieces");
  }
  if (header.lane == Lane::kBulk && header.payload_bytes > kChunkBytes) {
    return damaged(cat("bulk chunk of ", header.payload_bytes));
  }
  return {};
}

}  // namespace

FrameHeaderBytes encode(const FrameHeader& header) {
  std::string out;
  out.reserve(kFrameHeaderBytes);
  put_number(out, kFrameMagic);
  put_number(out, static_cast<uint8_t>(header.kind));
  put_number(out, static_cast<uint8_t>(header.lane));
  put_number(out, uint16_t{0});
  put_number(out, header.type);
  put_number(out, header.head_bytes);
  put_number(out, header.body_bytes);
  put_number(out, header.sequence);
  put_number(out, header.offset);
  put_number(out, header.payload_bytes);
  put_number(out, header.payload_crc);
  put_number(out, crc32c(std::as_bytes(std::span(out))));
  FrameHeaderBytes bytes;
  static_assert(sizeof bytes == kFrameHeaderBytes);
  std::memcpy(bytes.data(), out.data(), bytes.size());
  return bytes;
}

Result<FrameHeader> decode_frame_header(const FrameHeaderBytes& bytes, uint64_t max_body_bytes) {
  WireReader reader({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  if (reader.number<uint32_t>() != kFrameMagic) return damaged("no frame starts here");
  FrameHeader header;
  const auto kind = reader.number<uint8_t>();
  const auto lane = reader.number<uint8_t>();
  reader.number<uint16_t>();
  header.type = reader.number<uint32_t>();
  header.head_bytes = reader.number<uint32_t>();
  header.body_bytes = reader.number<uint64_t>();
  header.sequence = reader.number<uint64_t>();
  header.offset = reader.number<uint64_t>();
  header.payload_bytes = reader.number<uint32_t>();
  header.payload_crc = reader.number<uint32_t>();
  const auto crc = reader.number<uint32_t>();
  if (crc != crc32c(std::span(bytes).first(kFrameHeaderBytes - sizeof crc))) {
    return damaged("header checksum");
  }
  if (kind < static_cast<uint8_t>(FrameKind::kChunk) ||
      kind > static_cast<uint8_t>(FrameKind::kGoodbyeTaken)) {
    return damaged(cat("kind ", static_cast<int>(kind)));
  }
  header.kind = static_cast<FrameKind>(kind);
  if (lane > 1) return damaged(cat("lane ", static_cast<int>(lane)));
  header.lane = static_cast<Lane>(lane);
  if (header.kind == FrameKind::kChunk) {
    SKARV_TRY(check_chunk(header, max_body_bytes));
  } else if (header.payload_bytes != kSignalBytes) {
    return damaged("signal length");
  }
  return header;
}

std::string encode(const Signal& signal) {
  std::string out;
  for (uint64_t number :
       {signal.stamp, signal.progress, signal.taken_bytes[0], signal.taken_bytes[1],
        signal.num_messages[0], signal.num_messages[1], signal.bandwidth_in}) {
    put_number(out, number);
  }
  return out;
}

Result<Signal> decode_signal(std::string_view bytes) {
  WireReader reader(bytes);
  Signal signal;
  for (uint64_t* number :
       {&signal.stamp, &signal.progress, &signal.taken_bytes[0], &signal.taken_bytes[1],
        &signal.num_messages[0], &signal.num_messages[1], &signal.bandwidth_in}) {
    *number = reader.number<uint64_t>();
  }
  if (!reader.at_end()) return damaged("signal length");
  return signal;
}

}  // namespace skarv::net
