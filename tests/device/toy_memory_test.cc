#include <ATen/TensorOperators.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/ones.h>
#include <gmock/gmock.h>
#include <torch/library.h>

#include <csignal>
#include <thread>

#include "device/device.h"
#include "device/staging.h"
#include "device/stream.h"
#include "device/torch_error.h"
#include "device/toy.h"

namespace skarv {
namespace {

using testing::HasSubstr;

// An op that makes a view, of which the toy knows nothing.
TORCH_LIBRARY(skarv_test, library) { library.def("tail(Tensor(a) x) -> Tensor(a)"); }
TORCH_LIBRARY_IMPL(skarv_test, CPU, library) {
  library.impl("tail", [](const at::Tensor& x) { return x.narrow(0, 1, x.size(0) - 1); });
}

class ToyMemoryTest : public ToyTest {};
using ToyMemoryDeathTest = ToyMemoryTest;

TEST_F(ToyMemoryDeathTest, HostCodeThatTouchesDeviceMemoryFaults) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const at::Tensor tensor = on_toy(at::ones({4}));
  const auto* pointer = static_cast<const volatile float*>(tensor.const_data_ptr());
  EXPECT_EXIT(std::exit(static_cast<int>(*pointer)), testing::KilledBySignal(SIGSEGV), "");
}

TEST_F(ToyMemoryTest, AViewThatOnlyTheFallbackCouldMakeIsAnError) {
  const auto tail = c10::Dispatcher::singleton()
                        .findSchemaOrThrow("skarv_test::tail", "")
                        .typed<at::Tensor(const at::Tensor&)>();
  EXPECT_EQ(tail.call(at::arange(3)).numel(), 2);
  const Status status = guarded("tail", [&] { tail.call(on_toy(at::arange(3))); });
  EXPECT_THAT(status.message(), HasSubstr("skarv_test::tail makes a view"));
}

TEST_F(ToyMemoryTest, ViewsShareMemoryWithWhatTheyView) {
  const at::Tensor base = on_toy(at::arange(12, at::kFloat));
  const at::Tensor view = base.view({3, 4}).transpose(0, 1).select(0, 2).narrow(0, 1, 2);
  view.fill_(-1);
  EXPECT_EQ(base[6].item<float>(), -1);
  EXPECT_EQ(base[10].item<float>(), -1);
  EXPECT_EQ(base[2].item<float>(), 2);
}

TEST_F(ToyMemoryTest, ResizedTensorsKeepWhatTheyHeld) {
  const at::Tensor tensor = on_toy(at::arange(4, at::kFloat));
  tensor.resize_({100});
  EXPECT_EQ(tensor.narrow(0, 0, 4).sum().item<float>(), 6);
  tensor.resize_({2});
  EXPECT_EQ(tensor.sum().item<float>(), 1);
}

TEST_F(ToyMemoryTest, CountsWhatEachDeviceHolds) {
  const Device first = *Device::open("toy:0"), second = *Device::open("toy:1");
  const int64_t before = first.memory()->allocated_bytes;
  const int64_t before_second = second.memory()->allocated_bytes;
  ASSERT_TRUE(first.reset_peak().ok());
  {
    const at::Tensor a = at::ones({1000}, at::TensorOptions().device(first.torch_device()));
    const at::Tensor b = a.nonzero();  // made by the fallback, adopted
    EXPECT_EQ(first.memory()->allocated_bytes, before + 12000);
    EXPECT_EQ(second.memory()->allocated_bytes, before_second);
  }
  const MemoryFigures after = *first.memory();
  EXPECT_EQ(after.allocated_bytes, before);
  EXPECT_EQ(after.peak_bytes, before + 12000);
  EXPECT_EQ(after.free_bytes, after.total_bytes - before);
}

TEST_F(ToyMemoryTest, MoreThanTheDeviceHasIsOutOfMemory) {
  const Device device = *Device::open("toy:1");
  const int64_t total = device.memory()->total_bytes;
  const Status status = guarded("huge", [&] {
    at::empty({total + 1}, at::TensorOptions(at::kByte).device(device.torch_device()));
  });
  EXPECT_EQ(status.code(), Code::kResourceExhausted) << status;
  EXPECT_THAT(status.message(), HasSubstr("toy:1"));
}

TEST_F(ToyMemoryTest, TwoDevicesInOneProcess) {
  const at::Tensor host = at::arange(4, at::kFloat).view({2, 2});
  const at::Tensor a = on_toy(host, 0), b = on_toy(host, 1);
  EXPECT_EQ(a.device().index(), 0);
  EXPECT_EQ(b.device().index(), 1);
  EXPECT_EQ(b.mm(b).device().index(), 1);
  EXPECT_TRUE(b.to(a.device()).equal(a));
  const Status mixed = guarded("mixed", [&] { a.mm(b); });
  EXPECT_FALSE(mixed.ok());
  const Status with_host = guarded("mixed", [&] { a.mm(host); });
  EXPECT_FALSE(with_host.ok());
}

TEST_F(ToyMemoryTest, AGraphOverBothDevicesRunsBackward) {
  const at::Tensor x = on_toy(at::arange(4, at::kFloat), 0).requires_grad_();
  const at::Tensor y = (x * x).to(at::Device(at::kPrivateUse1, 1));
  (y * 3).sum().backward();
  EXPECT_EQ(x.grad().device().index(), 0);
  EXPECT_TRUE(x.grad().cpu().equal(at::arange(4, at::kFloat) * 6));
}

TEST_F(ToyMemoryTest, TheCurrentDeviceIsOfTheThread) {
  const Device second = *Device::open("toy:1");
  const auto where = [] {
    return static_cast<int>(
        at::empty({1}, at::TensorOptions().device(at::Device(at::kPrivateUse1))).device().index());
  };
  int in_thread = -1;
  std::thread([&] {
    ASSERT_TRUE(second.make_current().ok());
    in_thread = where();
  }).join();
  EXPECT_EQ(in_thread, 1);
  EXPECT_EQ(where(), 0);
}

TEST_F(ToyMemoryTest, AttributesSayWhatItCan) {
  const Result<DeviceAttributes> attributes = Device::open("toy:0")->attributes();
  ASSERT_TRUE(attributes.ok()) << attributes.status();
  EXPECT_EQ(attributes->chip, "toy");
  EXPECT_TRUE(attributes->supports_bf16);
  EXPECT_TRUE(attributes->has_streams);
  EXPECT_TRUE(attributes->has_pinned_host);
}

TEST_F(ToyMemoryTest, StagesThroughTheHostOnAStream) {
  const Device device = *Device::open("toy:0");
  const at::Tensor source = on_toy(at::arange(6, at::kFloat)).view({2, 3}).t();
  const HostBuffer buffer = *HostBuffer::create(device, num_host_bytes(source));
  EXPECT_TRUE(buffer.pinned());
  const Stream stream = *Stream::create(device);
  Event event = *Event::create(device);
  EXPECT_TRUE(*event.done()) << "never recorded";
  {
    const StreamScope scope(stream);
    ASSERT_TRUE(start_copy_to_host(source, buffer.bytes()).ok());
    ASSERT_TRUE(event.record(stream).ok());
  }
  ASSERT_TRUE(Stream::current(device)->wait(event).ok());
  ASSERT_TRUE(event.synchronize().ok());
  EXPECT_TRUE(*event.done());
  const at::Tensor target = on_toy(at::ones({3, 2}), 1);
  ASSERT_TRUE(copy_from_host(buffer.bytes(), target).ok());
  EXPECT_TRUE(target.cpu().equal(source.cpu()));
  EXPECT_TRUE(device.synchronize().ok());
}

}  // namespace
}  // namespace skarv
