#include <ATen/core/Tensor.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/ones.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "device/device.h"
#include "device/numerics.h"
#include "device/staging.h"
#include "device/stream.h"
#include "device/torch_error.h"

namespace skarv {
namespace {

using testing::HasSubstr;

TEST(CpuDeviceTest, OpensByNameAndDescribesItself) {
  const Result<Device> device = Device::open("cpu");
  ASSERT_TRUE(device.ok()) << device.status();
  EXPECT_EQ(device->name(), "cpu");
  EXPECT_EQ(device->kind(), DeviceKind::kCpu);
  EXPECT_EQ(Device::available().front(), "cpu");
  const Result<DeviceAttributes> attributes = device->attributes();
  ASSERT_TRUE(attributes.ok()) << attributes.status();
  EXPECT_TRUE(attributes->supports_bf16);
  EXPECT_FALSE(attributes->has_streams);
  EXPECT_FALSE(attributes->chip.empty());
  EXPECT_TRUE(device->make_current().ok());
  EXPECT_TRUE(device->synchronize().ok());
}

TEST(CpuDeviceTest, UnknownNamesSayWhatThereIs) {
  for (const char* name : {"", ":", "cpu:1", "cpu:", "cpu:x", "cpu:-1", "cpu:0x", "npu:0",
                           "cuda:99", "cpu:99999999999999999999"}) {
    const Result<Device> device = Device::open(name);
    ASSERT_FALSE(device.ok()) << name;
    EXPECT_EQ(device.status().code(), Code::kNotFound) << name;
    EXPECT_THAT(device.status().message(), HasSubstr("this process has cpu"));
    EXPECT_FALSE(device.status().hint().empty());
  }
}

TEST(CpuDeviceTest, CountsTensorMemoryAndItsPeak) {
  const Device device = *Device::open("cpu");
  const int64_t before = device.memory()->allocated_bytes;
  ASSERT_TRUE(device.reset_peak().ok());
  constexpr int64_t kBytes = int64_t{4} << 20;
  {
    const at::Tensor tensor = at::empty({kBytes / 4});
    const MemoryFigures held = *device.memory();
    EXPECT_GE(held.allocated_bytes - before, kBytes);
    EXPECT_LT(held.allocated_bytes - before, kBytes + 65536);
  }
  const MemoryFigures after = *device.memory();
  EXPECT_EQ(after.allocated_bytes, before);
  EXPECT_GE(after.peak_bytes - before, kBytes);
  EXPECT_GE(after.total_bytes, after.free_bytes);
  EXPECT_GT(after.free_bytes, 0);
  ASSERT_TRUE(device.reset_peak().ok());
  EXPECT_EQ(device.memory()->peak_bytes, before);
}

TEST(CpuDeviceTest, StreamsAndEventsHaveNothingToDo) {
  const Device device = *Device::open("cpu");
  const Stream stream = *Stream::create(device);
  const StreamScope scope(stream);
  Event event = *Event::create(device);
  EXPECT_TRUE(event.record(stream).ok());
  EXPECT_TRUE(*event.done());
  EXPECT_TRUE(stream.wait(event).ok());
  EXPECT_TRUE(event.synchronize().ok());
  EXPECT_TRUE(stream.synchronize().ok());
}

TEST(CpuStagingTest, BytesAreDenseAndRowMajorWhateverTheStrides) {
  const Device device = *Device::open("cpu");
  const at::Tensor source = at::arange(6, at::kFloat).view({2, 3}).t();
  const HostBuffer buffer = *HostBuffer::create(device, num_host_bytes(source));
  ASSERT_TRUE(copy_to_host(source, buffer.bytes()).ok());
  std::vector<float> values(6);
  std::memcpy(values.data(), buffer.bytes().data(), buffer.bytes().size());
  EXPECT_EQ(values, (std::vector<float>{0, 3, 1, 4, 2, 5}));

  const at::Tensor target = at::empty({3, 2});
  ASSERT_TRUE(copy_from_host(buffer.bytes(), target).ok());
  EXPECT_TRUE(target.equal(source));
}

TEST(CpuStagingTest, SizesHaveToAgree) {
  const at::Tensor tensor = at::ones({3});
  std::vector<std::byte> bytes(11);
  EXPECT_EQ(copy_to_host(tensor, bytes).code(), Code::kInvalidArgument);
  EXPECT_EQ(copy_from_host(bytes, tensor).code(), Code::kInvalidArgument);
  EXPECT_TRUE(copy_to_host(at::empty({0}), {}).ok());
}

TEST(CpuStagingTest, CopyingIntoALeafRecordsNoGradient) {
  const at::Tensor weight = at::ones({2}).requires_grad_();
  const std::vector<float> values{3, 4};
  ASSERT_TRUE(copy_from_host(std::as_bytes(std::span(values)), weight).ok());
  EXPECT_EQ(weight[1].item<float>(), 4);
  EXPECT_TRUE(weight.is_leaf());
}

TEST(TorchErrorTest, ExceptionsBecomeAStatusWithoutAStackTrace) {
  const Status status = guarded("product", [] { at::ones({2, 3}).mm(at::ones({2, 3})); });
  EXPECT_EQ(status.code(), Code::kInternal);
  EXPECT_THAT(status.message(), HasSubstr("product: mat1 and mat2 shapes cannot be multiplied"));
  EXPECT_THAT(status.message(), Not(HasSubstr("frame #")));
}

TEST(TorchErrorTest, OutOfMemoryIsItsOwnCode) {
  const Status status = guarded("huge", [] { at::empty({int64_t{1} << 58}); });
  EXPECT_EQ(status.code(), Code::kResourceExhausted) << status;
  EXPECT_FALSE(status.hint().empty());
}

TEST(NumericsTest, BoundsTheThreads) {
  EXPECT_EQ(apply({.num_threads = 0}).code(), Code::kInvalidArgument);
  EXPECT_EQ(apply({.num_threads = 100000}).code(), Code::kInvalidArgument);
  EXPECT_TRUE(apply({.num_threads = 1, .parity = true}).ok());
  EXPECT_TRUE(apply({.num_threads = 1}).ok());
}

}  // namespace
}  // namespace skarv
