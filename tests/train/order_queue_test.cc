#include "train/order_queue.h"

#include <gtest/gtest.h>

namespace skarv::train {
namespace {

handoff::Message step(int64_t number) { return handoff::Step{.step = number}; }

TEST(OrderQueue, KeepsTheOrder) {
  OrderQueue orders;
  orders.put(step(1));
  orders.put(step(2));
  EXPECT_EQ(std::get<handoff::Step>(*orders.take(Time{})).step, 1);
  EXPECT_EQ(std::get<handoff::Step>(*orders.take(Time{})).step, 2);
  EXPECT_EQ(orders.take(Time{}).status().code(), Code::kDeadlineExceeded);
}

TEST(OrderQueue, ConnectVoidsWhatWaits) {
  OrderQueue orders;
  orders.put(step(1));
  orders.put(handoff::Connect{.incarnation = 2});
  orders.put(handoff::Load{});
  EXPECT_TRUE(orders.cancelled());
  EXPECT_EQ(std::get<handoff::Connect>(*orders.take(Time{})).incarnation, 2);
  EXPECT_FALSE(orders.cancelled());
  EXPECT_TRUE(std::holds_alternative<handoff::Load>(*orders.take(Time{})));
}

TEST(OrderQueue, NothingComesAfterStop) {
  OrderQueue orders;
  orders.put(step(1));
  orders.put(handoff::Stop{});
  orders.put(handoff::Connect{});
  EXPECT_TRUE(std::holds_alternative<handoff::Stop>(*orders.take(Time{})));
  EXPECT_TRUE(orders.cancelled());
}

// The next step is ordered one ahead, so the answer to this step's exchange stands behind it.
TEST(OrderQueue, FindsTheApplyBehindTheNextStep) {
  OrderQueue orders;
  orders.put(step(8));
  orders.put(handoff::Apply{{.round = 6}});
  orders.put(handoff::Apply{{.round = 7, .fragment = 3}});
  EXPECT_EQ(orders.take_apply(7, Time{})->fragment, 3);
  EXPECT_EQ(orders.take_apply(9, Time{}).status().code(), Code::kDeadlineExceeded);
  orders.put(handoff::Connect{});
  EXPECT_EQ(orders.take_apply(6, Time{}).status().code(), Code::kCancelled);
}

}  // namespace
}  // namespace skarv::train
