// What every transport promises (net/connection.h).
#include "net/connection.h"

#include <algorithm>
#include <thread>

#include "net/transport_fixture.h"

namespace skarv::net {
namespace {

class ConnectionTest : public TransportTest {};
INSTANTIATE_TEST_SUITE_P(All, ConnectionTest, testing::Values("mem", "tcp", "tls"),
                         [](const auto& info) { return std::string(info.param); });

TEST_P(ConnectionTest, EndsKnowEachOtherByName) {
  connect();
  EXPECT_EQ(dialer_->peer(), "south/b");
  EXPECT_EQ(accepted_->peer(), "north/a");
  EXPECT_TRUE(dialer_->status().ok());
}

TEST_P(ConnectionTest, KeepsTheOrderOfEachLaneBothWays) {
  connect();
  constexpr uint32_t kNumMessages = 300;
  for (uint32_t i = 0; i < kNumMessages; ++i) {
    const std::string body(i * 37 % 5000, static_cast<char>('a' + i % 26));
    for (Connection* end : {dialer_.get(), accepted_.get()}) {
      ASSERT_TRUE(end->send(make_message(i, "head", body), Lane::kBulk, soon()).ok());
      ASSERT_TRUE(end->send(make_message(i, "control"), Lane::kControl, soon()).ok());
    }
  }
  for (Connection* end : {dialer_.get(), accepted_.get()}) {
    uint32_t next_bulk = 0, next_control = 0;
    for (uint32_t i = 0; i < 2 * kNumMessages; ++i) {
      auto message = end->receive(soon());
      ASSERT_TRUE(message.ok()) << message.status();
      if (message->head == "control") {
        EXPECT_EQ(message->type, next_control++);
        continue;
      }
      EXPECT_EQ(message->type, next_bulk);
      EXPECT_EQ(message->body.size(), next_bulk * 37 % 5000);
      ++next_bulk;
    }
  }
}

TEST_P(ConnectionTest, CarriesEmptyAndOddSizes) {
  connect();
  const std::vector<size_t> sizes{0, 1, 52, (256 << 10) - 1, 256 << 10, (256 << 10) + 1, 1000003};
  for (size_t head : {size_t{0}, size_t{5}, kMaxHeadBytes}) {
    for (size_t size : sizes) {
      const Buffer body = make_body(size, head + size);
      ASSERT_TRUE(dialer_->send({7, std::string(head, 'h'), body}, Lane::kBulk, soon()).ok());
      auto message = accepted_->receive(soon());
      ASSERT_TRUE(message.ok()) << message.status();
      EXPECT_EQ(message->head, std::string(head, 'h'));
      EXPECT_TRUE(is_equal(message->body, body)) << head << " " << size;
    }
  }
}

TEST_P(ConnectionTest, BodyLargerThanTheWindowPasses) {
  Options listener = options("south/b");
  listener.window_bytes = size_t{1} << 20;
  connect(options("north/a"), listener);
  const Buffer body = make_body(size_t{80} << 20, 3);
  ASSERT_TRUE(dialer_->send({1, "big", body}, Lane::kBulk, soon()).ok());
  ASSERT_TRUE(accepted_->status().ok());
  auto message = accepted_->receive(soon());
  ASSERT_TRUE(message.ok()) << message.status();
  EXPECT_TRUE(is_equal(message->body, body));
}

TEST_P(ConnectionTest, ReceiveEndsAtItsDeadline) {
  connect();
  EXPECT_EQ(dialer_->receive(no_waiting()).status().code(), Code::kDeadlineExceeded);
  const Time start = Clock::real().now();
  EXPECT_EQ(dialer_->receive(deadline_in(20ms)).status().code(), Code::kDeadlineExceeded);
  EXPECT_GE(Clock::real().now() - start, 20ms);
}

TEST_P(ConnectionTest, FullWindowBlocksUntilTheDeadlineAndOpensAgain) {
  Options listener = options("south/b");
  listener.window_bytes = size_t{1} << 20;
  connect(options("north/a"), listener);
  const Buffer body = make_body(600 << 10, 1);
  ASSERT_TRUE(dialer_->send({1, "", body}, Lane::kBulk, soon()).ok());
  const Status full = dialer_->send({2, "", body}, Lane::kBulk, deadline_in(20ms));
  EXPECT_EQ(full.code(), Code::kDeadlineExceeded) << full;
  EXPECT_TRUE(dialer_->send(make_message(3), Lane::kControl, soon()).ok()) << "its own window";
  const uint32_t one = accepted_->receive(soon())->type, two = accepted_->receive(soon())->type;
  EXPECT_EQ(std::pair(std::min(one, two), std::max(one, two)), (std::pair{1u, 3u}))
      << "in either order";
  EXPECT_TRUE(dialer_->send({4, "", body}, Lane::kBulk, soon()).ok());
  EXPECT_EQ(accepted_->receive(soon())->type, 4u) << "2 was never queued";
}

TEST_P(ConnectionTest, RefusesWhatIsTooLargeBeforeSending) {
  Options listener = options("south/b");
  listener.max_body_bytes = 1000;
  connect(options("north/a"), listener);
  EXPECT_EQ(dialer_->send({1, "", make_body(1001, 1)}, Lane::kBulk, soon()).code(),
            Code::kInvalidArgument);
  EXPECT_EQ(dialer_->send({1, std::string(kMaxHeadBytes + 1, 'x'), {}}, Lane::kBulk, soon()).code(),
            Code::kInvalidArgument);
  EXPECT_EQ(accepted_->send({1, "", make_body(kMaxControlBodyBytes + 1, 1)}, Lane::kControl, soon())
                .code(),
            Code::kInvalidArgument);
  EXPECT_TRUE(dialer_->send({2, "", make_body(1000, 1)}, Lane::kBulk, soon()).ok());
  EXPECT_EQ(accepted_->receive(soon())->type, 2u) << "the connection lives on";
}

TEST_P(ConnectionTest, CloseDeliversWhatIsInFlight) {
  connect();
  const Buffer body = make_body(size_t{3} << 20, 9);
  for (uint32_t i = 0; i < 8; ++i) {
    ASSERT_TRUE(dialer_->send({i, "", body}, Lane::kBulk, soon()).ok());
  }
  ASSERT_TRUE(dialer_->send(make_message(99), Lane::kControl, soon()).ok());
  const Status closed = dialer_->close(soon());
  ASSERT_TRUE(closed.ok()) << closed;
  dialer_.reset();
  EXPECT_EQ(accepted_->receive(soon())->type, 99u);
  for (uint32_t i = 0; i < 8; ++i) {
    auto message = accepted_->receive(soon());
    ASSERT_TRUE(message.ok()) << message.status();
    EXPECT_EQ(message->type, i);
    EXPECT_TRUE(is_equal(message->body, body));
  }
  const Status end = accepted_->receive(soon()).status();
  EXPECT_EQ(end.code(), Code::kUnavailable);
  EXPECT_NE(end.message().find("'north/a'"), std::string::npos) << end;
  EXPECT_EQ(accepted_->send(make_message(1), Lane::kBulk, soon()).code(), Code::kUnavailable);
}

TEST_P(ConnectionTest, BothEndsMayCloseAtOnce) {
  for (int round = 0; round < 5; ++round) {
    connect();
    for (Connection* end : {dialer_.get(), accepted_.get()}) {
      ASSERT_TRUE(end->send({1, "", make_body(1 << 20, 1)}, Lane::kBulk, soon()).ok());
    }
    Status other;
    std::thread thread([&] { other = accepted_->close(soon()); });
    const Status own = dialer_->close(soon());
    thread.join();
    // Whoever is second may learn that the first did not take what it had sent, and then says so.
    EXPECT_TRUE(own.ok() || own.code() == Code::kUnavailable) << own;
    EXPECT_TRUE(other.ok() || other.code() == Code::kUnavailable) << other;
  }
}

TEST_P(ConnectionTest, AbortEndsTheOtherSideWithItsName) {
  connect();
  dialer_.reset();
  const Status end = accepted_->receive(soon()).status();
  EXPECT_EQ(end.code(), Code::kUnavailable);
  EXPECT_NE(end.message().find("'north/a'"), std::string::npos) << end;
  EXPECT_EQ(accepted_->status().code(), Code::kUnavailable);
}

TEST_P(ConnectionTest, CloseWakesWhoWaitsHere) {
  connect();
  Status waited;
  std::thread thread([&] { waited = dialer_->receive(soon()).status(); });
  ASSERT_TRUE(dialer_->close(soon()).ok());
  thread.join();
  EXPECT_EQ(waited.code(), Code::kCancelled) << waited;
}

TEST_P(ConnectionTest, ControlOvertakesQueuedBulk) {
  connect();
  constexpr uint32_t kNumBulk = 20;
  // The best of some tries: on a busy machine the bulk may be through before this thread has said
  // its word. A queue that keeps the order never lets it overtake.
  uint32_t least = kNumBulk;
  for (int i = 0; i < 5 && least >= 15; ++i) {
    // Made before any is sent: making one takes longer than sending it.
    std::vector<Message> bulk;
    for (uint32_t n = 0; n < kNumBulk; ++n) bulk.push_back({n, "", make_body(8 << 20, n)});
    for (Message& message : bulk) {
      ASSERT_TRUE(dialer_->send(std::move(message), Lane::kBulk, soon()).ok());
    }
    ASSERT_TRUE(dialer_->send(make_message(1000), Lane::kControl, soon()).ok());
    uint32_t num_before = 0;
    for (uint32_t n = 0; n <= kNumBulk; ++n) {
      const auto message = accepted_->receive(soon());
      ASSERT_TRUE(message.ok()) << message.status();
      if (message->type == 1000) num_before = n;
    }
    least = std::min(least, num_before);
  }
  EXPECT_LT(least, 15u) << "of 20 bulk messages that were sent before";
}

TEST_P(ConnectionTest, ManySendersAtOnceLoseNothing) {
  connect();
  constexpr uint32_t kNumThreads = 8, kNumEach = 200;
  std::vector<std::thread> threads;
  for (uint32_t thread = 0; thread < kNumThreads; ++thread) {
    threads.emplace_back([&, thread] {
      for (uint32_t i = 0; i < kNumEach; ++i) {
        const Lane lane = i % 3 == 0 ? Lane::kControl : Lane::kBulk;
        const Status sent =
            dialer_->send({thread, cat(i), make_body(i * 97 % 20000, i)}, lane, soon());
        ASSERT_TRUE(sent.ok()) << sent;
      }
    });
  }
  std::vector<std::vector<bool>> seen(kNumThreads, std::vector<bool>(kNumEach));
  for (uint32_t i = 0; i < kNumThreads * kNumEach; ++i) {
    auto message = accepted_->receive(soon());
    ASSERT_TRUE(message.ok()) << message.status();
    const uint32_t number = static_cast<uint32_t>(std::stoul(message->head));
    EXPECT_FALSE(seen[message->type][number]);
    seen[message->type][number] = true;
    EXPECT_TRUE(is_equal(message->body, make_body(number * 97 % 20000, number)));
  }
  for (std::thread& thread : threads) thread.join();
}

TEST_P(ConnectionTest, CountsItsTraffic) {
  connect();
  constexpr size_t kBodyBytes = size_t{4} << 20;
  ASSERT_TRUE(dialer_->send({1, "h", make_body(kBodyBytes, 1)}, Lane::kBulk, soon()).ok());
  ASSERT_TRUE(accepted_->receive(soon()).ok());
  const Traffic sent = dialer_->traffic(), received = accepted_->traffic();
  EXPECT_EQ(sent.num_messages_sent, 1);
  EXPECT_EQ(received.num_messages_received, 1);
  EXPECT_GE(received.plain_bytes_received, static_cast<int64_t>(kBodyBytes));
  EXPECT_LT(received.plain_bytes_received, static_cast<int64_t>(kBodyBytes * 1.01));
  EXPECT_GE(received.wire_bytes_received, received.plain_bytes_received);
  EXPECT_LT(received.wire_bytes_received, static_cast<int64_t>(kBodyBytes * 1.02));
  if (GetParam() == std::string("tls")) {
    EXPECT_GT(received.wire_bytes_received, received.plain_bytes_received);
  }
}

TEST_P(ConnectionTest, ListenerClosedEndsAccept) {
  connect();
  EXPECT_EQ(listener_->accept(deadline_in(10ms)).status().code(), Code::kDeadlineExceeded);
  listener_->close();
  EXPECT_EQ(listener_->accept(soon()).status().code(), Code::kCancelled);
  ASSERT_TRUE(dialer_->send(make_message(5), Lane::kControl, soon()).ok());
  EXPECT_EQ(accepted_->receive(soon())->type, 5u) << "accepted connections live on";
}

}  // namespace
}  // namespace skarv::net
