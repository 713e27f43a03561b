#include "net/outbox.h"

#include <algorithm>

namespace skarv::net {

void Outbox::push(Message message) {
  sent_bytes_ += window_cost(message.head.size() + message.body.size());
  ++num_messages_;
  queue_.push_back(std::make_shared<const Message>(std::move(message)));
}

bool Outbox::taken(uint64_t taken_bytes) {
  if (taken_bytes < taken_bytes_ || taken_bytes > sent_bytes_) return false;
  taken_bytes_ = taken_bytes;
  return true;
}

std::optional<Outbox::Piece> Outbox::next() {
  if (queue_.empty()) return std::nullopt;
  Piece piece;
  piece.message = queue_.front();
  const Message& message = *piece.message;
  FrameHeader& header = piece.header;
  header.lane = lane_;
  header.type = message.type;
  header.head_bytes = static_cast<uint32_t>(message.head.size());
  header.body_bytes = message.body.size();
  header.sequence = num_messages_ - queue_.size();
  header.offset = offset_;
  const uint64_t end = std::min<uint64_t>(offset_ + chunk_bytes_, header.message_bytes());
  header.payload_bytes = static_cast<uint32_t>(end - offset_);

  const uint64_t head_end = std::min<uint64_t>(end, message.head.size());
  if (offset_ < head_end) {
    piece.payload[0] = std::as_bytes(std::span(message.head)).subspan(offset_, head_end - offset_);
  }
  const uint64_t body_start = std::max<uint64_t>(offset_, message.head.size());
  if (body_start < end) {
    piece.payload[1] =
        message.body.span().subspan(body_start - message.head.size(), end - body_start);
  }
  offset_ = end;
  if (offset_ == header.message_bytes()) {
    queue_.pop_front();
    offset_ = 0;
  }
  return piece;
}

}  // namespace skarv::net
