#include "net/inbox.h"

#include <algorithm>

#include "base/text.h"

namespace skarv::net {
namespace {

Status broken(const std::string& what) {
  return Status(Code::kDataLoss, Scope::kLink, "the peer broke the protocol: " + what);
}

}  // namespace

Status Inbox::start(Partial& partial, const FrameHeader& header) {
  const uint64_t cost = window_cost(header.message_bytes());
  if (held_bytes_ != 0 && held_bytes_ + cost > window_bytes_) {
    return broken(cat(held_bytes_ + cost, " bytes sent into a window of ", window_bytes_));
  }
  held_bytes_ += cost;
  partial.type = header.type;
  partial.head.resize(header.head_bytes);
  partial.body = std::make_shared_for_overwrite<std::byte[]>(header.body_bytes);
  partial.body_bytes = header.body_bytes;
  // A control message is one frame of any length; a bulk message has at least one, maybe empty.
  const uint64_t num_chunks =
      lane_ == Lane::kControl ? 1 : (header.message_bytes() + kChunkBytes - 1) / kChunkBytes;
  partial.num_missing = std::max<uint64_t>(num_chunks, 1);
  partial.placed.resize(partial.num_missing);
  return {};
}

Result<Inbox::Place> Inbox::place(const FrameHeader& header) {
  // Every open message costs its overhead of window, which bounds how far ahead one may be.
  const uint64_t max_ahead = window_bytes_ / kMessageOverheadBytes + 1;
  if (header.sequence < first_ || header.sequence - first_ > max_ahead) {
    return broken(cat("message ", header.sequence, " while ", first_, " is next"));
  }
  const uint64_t index = header.sequence - first_;
  if (index >= partials_.size()) partials_.resize(index + 1);
  Partial& partial = partials_[index];
  if (partial.placed.empty()) {
    SKARV_TRY(start(partial, header));
  } else if (partial.type != header.type || partial.head.size() != header.head_bytes ||
             partial.body_bytes != header.body_bytes) {
    return broken(cat("chunks of message ", header.sequence, " disagree"));
  }
  if (lane_ == Lane::kBulk &&
      (header.offset % kChunkBytes != 0 ||
       header.payload_bytes !=
           std::min<uint64_t>(kChunkBytes, header.message_bytes() - header.offset))) {
    return broken(cat("chunk at ", header.offset, " of message ", header.sequence));
  }
  const size_t chunk = header.offset / kChunkBytes;
  if (chunk >= partial.placed.size() || partial.placed[chunk]) {
    return broken(cat("chunk at ", header.offset, " of message ", header.sequence, " twice"));
  }
  partial.placed[chunk] = true;

  const uint64_t end = header.offset + header.payload_bytes;
  const uint64_t head_end = std::min<uint64_t>(end, partial.head.size());
  Place place;
  if (header.offset < head_end) {
    place[0] = std::as_writable_bytes(std::span(partial.head))
                   .subspan(header.offset, head_end - header.offset);
  }
  const uint64_t body_start = std::max<uint64_t>(header.offset, partial.head.size());
  if (body_start < end) {
    place[1] = {partial.body.get() + (body_start - partial.head.size()), end - body_start};
  }
  return place;
}

void Inbox::arrived(const FrameHeader& header) {
  if (--partials_[header.sequence - first_].num_missing == 0) ++num_complete_;
}

bool Inbox::ready() const {
  return !partials_.empty() && !partials_.front().placed.empty() &&
         partials_.front().num_missing == 0;
}

std::optional<Message> Inbox::pop() {
  if (!ready()) return std::nullopt;
  Partial& partial = partials_.front();
  const uint64_t cost = window_cost(partial.message_bytes());
  Message message{partial.type, std::move(partial.head),
                  Buffer::wrap({partial.body.get(), partial.body_bytes}, partial.body)};
  partials_.pop_front();
  ++first_;
  held_bytes_ -= cost;
  taken_bytes_ += cost;
  return message;
}

}  // namespace skarv::net
