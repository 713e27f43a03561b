#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <limits>
#include <thread>

#include "handoff/channel.h"
#include "handoff/memory.h"
#include "handoff/messages.h"

namespace skarv::handoff {
namespace {

Time in(double seconds) { return Clock::real().now() + from_seconds(seconds); }

std::pair<Channel, FileHandle> channel_and_raw_end() {
  int ends[2];
  EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
  return {Channel(FileHandle(ends[0])), FileHandle(ends[1])};
}

Model small_model() {
  Model model;
  model.vocabulary = 64, model.hidden = 16, model.num_blocks = 2, model.num_heads = 2;
  model.num_kv_heads = 1, model.head_dim = 8, model.ffn = 24, model.context = 8;
  return model;
}

TEST(MessagesTest, EveryKindSurvivesTheRoundTrip) {
  Step step;
  step.step = 7;
  step.samples = {{10, 14}, {90, 93}};
  step.apply = ApplyOrder{3, 1, Verdict::kExcluded, 0.5};
  step.snapshot = SnapshotOrder{4, 0};
  const std::vector<Message> messages = {Hello{kVersion, "n/a/0", "s", 12, "2.13.0"},
                                         Assign{},
                                         Listening{"127.0.0.1:9"},
                                         Connect{2, {"x", "y"}, {"cpu", "toy"}, "store"},
                                         Ready{2, 5},
                                         Load{true, 1, -1, 9},
                                         Loaded{9},
                                         step,
                                         Apply{{3, -1, Verdict::kReset, 0.25}},
                                         StepDone{},
                                         SnapshotDone{4, 7, 0.5},
                                         InnerSnapshotDone{7, 1},
                                         Applied{3, 7},
                                         Heartbeat{99, "forward"},
                                         Failed{"oops", 2, true},
                                         Stop{}};
  for (const Message& message : messages) {
    const auto back = message_from_json(to_json(message));
    ASSERT_TRUE(back.ok()) << back.status();
    EXPECT_EQ(back->index(), message.index());
    EXPECT_EQ(to_json(*back), to_json(message)) << name_of(message);
  }
}

TEST(MessagesTest, ALossThatIsNotFiniteIsTold) {
  StepDone done;
  done.loss_sum = std::numeric_limits<double>::quiet_NaN();
  done.gradient_norm = -std::numeric_limits<double>::infinity();
  const auto back = message_from_json(Json::parse(to_json(Message(done)).dump()));
  ASSERT_TRUE(back.ok());
  EXPECT_TRUE(std::isnan(std::get<StepDone>(*back).loss_sum));
  EXPECT_EQ(std::get<StepDone>(*back).gradient_norm, -std::numeric_limits<double>::infinity());
}

TEST(MessagesTest, NonsenseIsRefusedByName) {
  const std::vector<std::pair<const char*, const char*>> cases = {
      {"[]", "kind"},
      {"{}", "kind"},
      {R"({"kind":"dance"})", "dance"},
      {R"({"kind":"loaded"})", "step"},
      {R"({"kind":"loaded","step":"x"})", "step"},
      {R"({"kind":"hello","version":99,"device":"","session":"","pid":1,"torch":""})", "99"},
      {R"({"kind":"apply","order":{"round":1,"fragment":0,"verdict":"maybe","alpha":0}})", "maybe"},
      {R"({"kind":"apply","order":3})", "object"},
  };
  for (const auto& [text, word] : cases) {
    const auto result = message_from_json(Json::parse(text));
    ASSERT_FALSE(result.ok()) << text;
    EXPECT_NE(result.status().to_string().find(word), std::string::npos) << result.status();
  }
}

TEST(ChannelTest, DescriptorsRideAlongAndOrderIsKept) {
  const auto folder =
      std::filesystem::temp_directory_path() / ("skarv_handoff_" + std::to_string(getpid()));
  ASSERT_TRUE(make_directories(folder).ok());
  auto listener = ChannelListener::listen(folder / "agent.sock");
  ASSERT_TRUE(listener.ok()) << listener.status();
  const SlabTable table(small_model(), 1);
  std::thread worker([&] {
    auto channel = Channel::connect(folder / "agent.sock", in(5));
    ASSERT_TRUE(channel.ok()) << channel.status();
    ASSERT_TRUE(channel->send(Hello{kVersion, "n/a/0", "s", 1, ""}, in(5)).ok());
    auto got = channel->receive(in(5));
    ASSERT_TRUE(got.ok()) << got.status();
    auto memory = SharedMemory::adopt(std::move(got->file), table);
    ASSERT_TRUE(memory.ok()) << memory.status();
    EXPECT_EQ(memory->w_now(2)[3], 42.0f);
    EXPECT_EQ(memory->w_before(2)[3], 0.0f);
    memory->at(2).snapshot[0] = 7;
    ASSERT_TRUE(channel->send(SnapshotDone{1, 2, 0}, in(5)).ok());
  });
  auto channel = listener->accept(in(5));
  ASSERT_TRUE(channel.ok());
  auto hello = channel->receive(in(5));
  ASSERT_TRUE(hello.ok());
  EXPECT_EQ(std::get<Hello>(hello->message).device, "n/a/0");
  auto memory = SharedMemory::create(table, {0, 2}, 1 << 16);
  ASSERT_TRUE(memory.ok()) << memory.status();
  memory->place_w(2, 0, 8192);
  memory->set_current_w(2, 1);
  reinterpret_cast<float*>(memory->keeper_region().data() + 8192)[3] = 42;
  ASSERT_TRUE(channel->send(Assign{}, in(5), memory->fd()).ok());
  auto done = channel->receive(in(5));
  ASSERT_TRUE(done.ok());
  EXPECT_EQ(memory->at(2).snapshot[0], 7.0f);
  worker.join();
  const auto end = channel->receive(in(5));
  EXPECT_EQ(end.status().code(), Code::kUnavailable) << "a closed peer is told at once";
  std::filesystem::remove_all(folder);
}

TEST(ChannelTest, SilenceGarbageAndHugeFrames) {
  {
    auto [channel, raw] = channel_and_raw_end();
    EXPECT_EQ(channel.receive(in(0.01)).status().code(), Code::kDeadlineExceeded);
  }
  {
    auto [channel, raw] = channel_and_raw_end();
    const uint32_t huge = 0xffffffff;
    ASSERT_EQ(::write(raw.get(), &huge, sizeof huge), 4);
    EXPECT_EQ(channel.receive(in(1)).status().code(), Code::kDataLoss);
  }
  {
    auto [channel, raw] = channel_and_raw_end();
    ASSERT_EQ(::write(raw.get(), "\x03\0\0\0{x}", 7), 7);
    EXPECT_EQ(channel.receive(in(1)).status().code(), Code::kInvalidArgument);
  }
}

TEST(ChannelTest, PathsThatAreTooLongOrMissing) {
  const std::string deep = "/tmp/" + std::string(200, 'x') + "/agent.sock";
  EXPECT_EQ(ChannelListener::listen(deep).status().code(), Code::kInvalidArgument);
  EXPECT_EQ(Channel::connect("/tmp/skarv_no_agent_here.sock", in(0)).status().code(),
            Code::kNotFound);
}

TEST(MemoryTest, ArraysAreApart) {
  const SlabTable table(small_model(), 2);
  auto memory = SharedMemory::create(table, {0, 1, 3}, 1000);
  ASSERT_TRUE(memory.ok()) << memory.status();
  float mark = 1;
  auto each = [&](auto&& what) {
    for (int slab : memory->slabs()) {
      const SlabMemory& arrays = memory->at(slab);
      for (const auto& pair : {arrays.x, arrays.exp_avg, arrays.exp_avg_sq}) {
        what(pair[0]), what(pair[1]);
      }
      what(arrays.snapshot);
    }
  };
  std::fill(memory->keeper_region().begin(), memory->keeper_region().end(), std::byte{0xff});
  each([&](std::span<float> array) { std::fill(array.begin(), array.end(), mark++); });
  mark = 1;
  each([&](std::span<float> array) {
    for (float value : array) ASSERT_EQ(value, mark);
    ++mark;
  });
  for (std::byte byte : memory->keeper_region()) ASSERT_EQ(byte, std::byte{0xff});
}

TEST(MemoryTest, AnotherModelOrDamageIsRefused) {
  const SlabTable table(small_model(), 2);
  auto memory = SharedMemory::create(table, {0, 1, 3}, 4096);
  ASSERT_TRUE(memory.ok()) << memory.status();
  auto adopt = [&](const SlabTable& by) {
    return SharedMemory::adopt(FileHandle(::dup(memory->fd())), by).status();
  };
  EXPECT_TRUE(adopt(table).ok()) << adopt(table);
  Model other = small_model();
  other.ffn = 48;
  EXPECT_EQ(adopt(SlabTable(other, 2)).code(), Code::kDataLoss);
  // Every damaged word of header and entries is refused or harmless, never a crash.
  for (int64_t offset = 0; offset < 4096 + 3 * 32; offset += 4) {
    uint32_t word, bad = 0xdeadbeef;
    ASSERT_EQ(::pread(memory->fd(), &word, 4, offset), 4);
    ASSERT_EQ(::pwrite(memory->fd(), &bad, 4, offset), 4);
    adopt(table).ok();
    if (offset < 32) {
      EXPECT_EQ(adopt(table).code(), Code::kDataLoss) << offset;
    }
    ASSERT_EQ(::pwrite(memory->fd(), &word, 4, offset), 4);
  }
  ASSERT_EQ(::ftruncate(memory->fd(), memory->num_bytes() - 64), 0);
  EXPECT_EQ(adopt(table).code(), Code::kDataLoss);
}

}  // namespace
}  // namespace skarv::handoff
