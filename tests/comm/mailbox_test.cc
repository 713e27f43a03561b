#include "comm/mailbox.h"

#include <gtest/gtest.h>

#include <thread>

namespace skarv::comm {
namespace {

Letter letter(const std::string& text) {
  return {net::Buffer::take(std::string(text)), Clock::real().now()};
}

const Tag kTag{Payload::kActivation, 3, 0, 1, 5};

TEST(Tag, SurvivesTheWire) {
  const auto decoded = decode_tag(encode(kTag));
  ASSERT_TRUE(decoded);
  EXPECT_EQ(*decoded, kTag);
  EXPECT_EQ(to_string(kTag), "activation of microbatch 5 for stage 1");
}

TEST(Tag, RefusesWhatIsNone) {
  EXPECT_FALSE(decode_tag(""));
  EXPECT_FALSE(decode_tag(encode(kTag) + "x"));
  std::string unknown = encode(kTag);
  unknown[0] = 99;
  EXPECT_FALSE(decode_tag(unknown));
}

TEST(Mailbox, TakesByTagInAnyOrder) {
  Mailbox mailbox(2);
  Tag other = kTag;
  other.part = 6;
  mailbox.put(1, kTag, letter("five"));
  mailbox.put(1, other, letter("six"));
  EXPECT_EQ(mailbox.take(1, other, Time{})->body.text(), "six");
  EXPECT_EQ(mailbox.take(1, kTag, Time{})->body.text(), "five");
  EXPECT_EQ(mailbox.take(1, kTag, Time{}).status().code(), Code::kDeadlineExceeded);
}

TEST(Mailbox, HandsOutWhatCameBeforeTheEnd) {
  Mailbox mailbox(2);
  mailbox.put(1, kTag, letter("last"));
  mailbox.fail(1, Status(Code::kUnavailable, Scope::kPeer, "gone"));
  EXPECT_TRUE(mailbox.take(1, kTag, Time{}).ok());
  EXPECT_EQ(mailbox.take(1, kTag, Time{}).status().message(), "gone");
}

TEST(Mailbox, AbortWakesTheTaker) {
  Mailbox mailbox(2);
  std::thread other([&] { mailbox.abort(Status(Code::kCancelled, Scope::kPeer, "called off")); });
  const auto taken = mailbox.take(1, kTag, Clock::real().now() + std::chrono::seconds(30));
  EXPECT_EQ(taken.status().code(), Code::kCancelled);
  other.join();
}

}  // namespace
}  // namespace skarv::comm
