// Devices, streams and events as libtorch asks for them. The toy computes in the calling thread, so
// work is done when a call returns: a stream is a number that keeps its place in libtorch's
// bookkeeping, an event the moment at which it was recorded.
#include "context.h"

#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <c10/util/Exception.h>

#include <array>
#include <atomic>
#include <chrono>

#include "memory.h"

namespace toy {
namespace {

constexpr auto kType = c10::DeviceType::PrivateUse1;

thread_local int device_now = 0;
thread_local std::array<c10::StreamId, kNumDevices> stream_now{};
std::atomic<c10::StreamId> num_streams{0};

struct RecordedEvent {
  std::chrono::steady_clock::time_point when;
};

int checked(int device) {
  TORCH_CHECK(device >= 0 && device < kNumDevices, "toy:", device, " does not exist; there are ",
              kNumDevices);
  return device;
}

int index_of(c10::Device device) {
  return device.has_index() ? checked(device.index()) : device_now;
}

c10::Stream stream_of(int device, c10::StreamId id) {
  return c10::Stream(c10::Stream::UNSAFE, c10::Device(kType, static_cast<c10::DeviceIndex>(device)),
                     id);
}

class Guard final : public c10::impl::DeviceGuardImplInterface {
 public:
  c10::DeviceType type() const override { return kType; }
  c10::Device exchangeDevice(c10::Device device) const override {
    return c10::Device(kType, static_cast<c10::DeviceIndex>(exchange_device(index_of(device))));
  }
  c10::Device getDevice() const override {
    return c10::Device(kType, static_cast<c10::DeviceIndex>(device_now));
  }
  void setDevice(c10::Device device) const override { exchange_device(index_of(device)); }
  void uncheckedSetDevice(c10::Device device) const noexcept override {
    device_now = device.index();
  }
  c10::DeviceIndex deviceCount() const noexcept override { return kNumDevices; }

  c10::Stream getStream(c10::Device device) const override {
    return stream_of(index_of(device), stream_now[index_of(device)]);
  }
  c10::Stream getDefaultStream(c10::Device device) const override {
    return stream_of(index_of(device), 0);
  }
  c10::Stream getStreamFromGlobalPool(c10::Device device, bool) const override {
    return getNewStream(device, 0);
  }
  c10::Stream getNewStream(c10::Device device, int) const override {
    return stream_of(index_of(device), ++num_streams);
  }
  c10::Stream exchangeStream(c10::Stream stream) const override {
    const int device = checked(stream.device_index());
    return stream_of(device, std::exchange(stream_now[device], stream.id()));
  }
  bool queryStream(const c10::Stream&) const override { return true; }
  void synchronizeStream(const c10::Stream&) const override {}
  void synchronizeDevice(c10::DeviceIndex device) const override { checked(device); }

  void record(void** event, const c10::Stream&, c10::DeviceIndex, c10::EventFlag) const override {
    if (*event == nullptr) *event = new RecordedEvent;
    static_cast<RecordedEvent*>(*event)->when = std::chrono::steady_clock::now();
  }
  void destroyEvent(void* event, c10::DeviceIndex) const noexcept override {
    delete static_cast<RecordedEvent*>(event);
  }
  void block(void*, const c10::Stream&) const override {}
  bool queryEvent(void*) const override { return true; }
  void synchronizeEvent(void*) const override {}
  double elapsedTime(void* from, void* to, c10::DeviceIndex) const override {
    TORCH_CHECK(from != nullptr && to != nullptr, "toy: both events have to be recorded");
    return std::chrono::duration<double, std::milli>(static_cast<RecordedEvent*>(to)->when -
                                                     static_cast<RecordedEvent*>(from)->when)
        .count();
  }
};

const c10::impl::DeviceGuardImplRegistrar registered(kType, new Guard);

}  // namespace

int current_device() { return device_now; }

int exchange_device(int device) { return std::exchange(device_now, checked(device)); }

}  // namespace toy
