#include "wan/round/fetcher.h"

#include <gtest/gtest.h>

namespace skarv::wan {
namespace {

const Fetcher::Key kKey{FetchKind::kPayload, 7, 3, ""};

Timers timers() {
  ExchangeSettings settings;
  settings.detection_seconds = 1;
  settings.round_budget_seconds = 60;
  return Timers::from(settings).value();
}

// Rule 12: the next donor after each try, and twice the time for it, up to 64 times.
TEST(Fetcher, WaitsTwiceAsLongAfterEachTry) {
  Fetcher fetcher(timers());
  Time now{};
  fetcher.want(kKey, {}, {"a", "b", "c"}, false, now);
  int factor = 1;
  for (int num_tries = 0; num_tries < 9; ++num_tries) {
    const std::vector<Fetcher::Ask> asks = fetcher.poll(now);
    ASSERT_EQ(asks.size(), 1u) << num_tries;
    EXPECT_EQ(asks[0].to, std::string(1, static_cast<char>('a' + num_tries % 3)));
    const Duration wait = timers().progress * factor;
    EXPECT_TRUE(fetcher.poll(now + wait - Duration(1)).empty()) << num_tries;
    now += wait;
    factor = std::min(2 * factor, 64);
  }
}

TEST(Fetcher, WaitsAsLongAsThereIsProgress) {
  Fetcher fetcher(timers());
  const Time start{};
  fetcher.want(kKey, {}, {"a", "b"}, false, start);
  ASSERT_EQ(fetcher.poll(start).size(), 1u);
  const Duration later = timers().progress / 2;
  fetcher.progress("b", start + later);  // nobody waits for it
  fetcher.progress("a", start + later);
  EXPECT_TRUE(fetcher.poll(start + later + timers().progress - Duration(1)).empty());
  const std::vector<Fetcher::Ask> asks = fetcher.poll(start + later + timers().progress);
  ASSERT_EQ(asks.size(), 1u);
  EXPECT_EQ(asks[0].to, "b");
}

}  // namespace
}  // namespace skarv::wan
