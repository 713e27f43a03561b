// Frames and the two halves of a lane, without sockets.
#include "net/frame.h"

#include <gtest/gtest.h>

#include "base/random.h"
#include "net/crc32c.h"
#include "net/inbox.h"
#include "net/outbox.h"

namespace skarv::net {
namespace {

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

TEST(Crc32cTest, KnownValueAndBothFormsAgree) {
  EXPECT_EQ(crc32c(bytes_of("123456789")), 0xe3069283u);
  EXPECT_EQ(crc32c_portable(bytes_of("123456789")), 0xe3069283u);
  const CounterRandom random(1, "crc");
  std::string text;
  for (uint64_t i = 0; i < 20011; ++i) text += static_cast<char>(random.at(i));
  for (size_t size : {0u, 1u, 7u, 8u, 6143u, 6144u, 6145u, 12289u, 20011u}) {
    const auto part = bytes_of(text).first(size);
    EXPECT_EQ(crc32c(part), crc32c_portable(part)) << size;
    EXPECT_EQ(crc32c(part.subspan(size / 3), crc32c(part.first(size / 3))), crc32c(part)) << size;
  }
}

FrameHeader chunk(uint64_t sequence, uint64_t offset, uint32_t payload, uint64_t body) {
  return {.lane = Lane::kBulk,
          .body_bytes = body,
          .sequence = sequence,
          .offset = offset,
          .payload_bytes = payload};
}

TEST(FrameTest, EveryFlippedBitIsFound) {
  const FrameHeaderBytes good = encode(chunk(3, kChunkBytes, 100, kChunkBytes + 100));
  ASSERT_TRUE(decode_frame_header(good, 1 << 20).ok());
  for (size_t bit = 0; bit < 8 * good.size(); ++bit) {
    FrameHeaderBytes bad = good;
    bad[bit / 8] ^= std::byte{1} << (bit % 8);
    EXPECT_FALSE(decode_frame_header(bad, 1 << 20).ok()) << bit;
  }
}

TEST(FrameTest, LengthsAreBoundedEvenWithARightChecksum) {
  const uint64_t huge = uint64_t{1} << 63;
  const std::vector<FrameHeader> bad{
      chunk(0, 0, 10, (1 << 20) + 1),                 // body over the bound
      chunk(0, 0, 10, huge),                          //
      chunk(0, huge, 10, 100),                        // beyond the end
      chunk(0, 95, 10, 100),                          //
      chunk(0, 0, kChunkBytes + 1, kChunkBytes + 1),  // too much at once
      chunk(0, 0, 0, 100),                            // nothing
      {.head_bytes = kMaxHeadBytes + 1, .payload_bytes = kMaxHeadBytes + 1},
      {.lane = Lane::kControl, .body_bytes = 100, .payload_bytes = 10},
      {.kind = FrameKind::kPing, .payload_bytes = kSignalBytes - 1},
      {.kind = static_cast<FrameKind>(99)},
      {.lane = static_cast<Lane>(2)},
  };
  for (size_t i = 0; i < bad.size(); ++i) {
    EXPECT_EQ(decode_frame_header(encode(bad[i]), 1 << 20).status().code(), Code::kDataLoss) << i;
  }
}

void copy(const Outbox::Piece& piece, const Inbox::Place& place) {
  for (size_t part = 0; part < 2; ++part) {
    ASSERT_EQ(piece.payload[part].size(), place[part].size());
    std::copy(piece.payload[part].begin(), piece.payload[part].end(), place[part].begin());
  }
}

TEST(LaneTest, PiecesInAnyOrderMakeTheMessagesInTheirOrder) {
  const CounterRandom random(5, "order");
  for (uint64_t round = 0; round < 20; ++round) {
    Outbox outbox(Lane::kBulk, 64 << 20, kChunkBytes);
    Inbox inbox(Lane::kBulk, 64 << 20);
    std::vector<std::string> bodies;
    for (uint64_t i = 0; i < 6; ++i) {
      const std::string head(random.below(100 * round + i, 300000), static_cast<char>('a' + i));
      bodies.emplace_back(random.below(100 * round + 10 + i, 900000), static_cast<char>('A' + i));
      outbox.push({static_cast<uint32_t>(i), head, Buffer::take(bodies.back())});
    }
    std::vector<Outbox::Piece> pieces;
    while (auto piece = outbox.next()) pieces.push_back(*std::move(piece));
    for (size_t i = pieces.size(); i > 1; --i) {
      std::swap(pieces[i - 1], pieces[random.below(1000 * round + 20 + i, i)]);
    }
    uint32_t next = 0;
    for (const Outbox::Piece& piece : pieces) {
      const auto place = inbox.place(piece.header);
      ASSERT_TRUE(place.ok()) << place.status();
      copy(piece, *place);
      inbox.arrived(piece.header);
      while (auto message = inbox.pop()) {
        EXPECT_EQ(message->type, next);
        EXPECT_EQ(message->body.text(), bodies[next]);
        ++next;
      }
    }
    EXPECT_EQ(next, 6u);
    EXPECT_TRUE(outbox.taken(inbox.taken_bytes()));
    EXPECT_EQ(outbox.num_outstanding(), 0u);
  }
}

TEST(LaneTest, APeerThatBreaksTheRulesIsRefused) {
  Inbox inbox(Lane::kBulk, 1 << 20);
  const auto code = [&](const FrameHeader& header) { return inbox.place(header).status().code(); };
  ASSERT_TRUE(inbox.place(chunk(0, 0, kChunkBytes, kChunkBytes * 2)).ok());
  EXPECT_EQ(code(chunk(0, 0, kChunkBytes, kChunkBytes * 2)), Code::kDataLoss) << "twice";
  EXPECT_EQ(code(chunk(0, kChunkBytes, kChunkBytes, kChunkBytes * 3)), Code::kDataLoss)
      << "another length";
  EXPECT_EQ(code(chunk(0, 5, 10, kChunkBytes * 2)), Code::kDataLoss) << "no chunk begins there";
  EXPECT_EQ(code(chunk(1, 0, kChunkBytes, kChunkBytes * 3)), Code::kDataLoss) << "over the window";
  EXPECT_EQ(code(chunk(1000000, 0, 1, 1)), Code::kDataLoss) << "far ahead";
  EXPECT_FALSE(inbox.ready());
}

TEST(LaneTest, TheWindowCountsWhatIsNotTaken) {
  Outbox outbox(Lane::kBulk, 1000, kChunkBytes);
  EXPECT_TRUE(outbox.has_room(5000)) << "alone, whatever its size";
  outbox.push({1, std::string(100, 'x'), {}});
  EXPECT_TRUE(outbox.has_room(1000 - 2 * kMessageOverheadBytes - 100));
  EXPECT_FALSE(outbox.has_room(1000 - 2 * kMessageOverheadBytes - 99));
  EXPECT_FALSE(outbox.taken(10000)) << "more than was sent";
  EXPECT_TRUE(outbox.taken(window_cost(100)));
  EXPECT_FALSE(outbox.taken(5)) << "less than before";
  EXPECT_EQ(outbox.num_outstanding(), 0u);
}

}  // namespace
}  // namespace skarv::net
