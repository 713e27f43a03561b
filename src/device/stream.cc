#include "device/stream.h"

#include <c10/core/Event.h>
#include <c10/core/Stream.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <optional>

#include "device/torch_error.h"

namespace skarv {

struct Stream::State {
  std::optional<c10::Stream> stream;  // none on cpu
};

struct Event::State {
  std::optional<c10::Event> event;  // none on cpu
};

namespace {

c10::impl::VirtualGuardImpl guard_of(const c10::Stream& stream) {
  return c10::impl::VirtualGuardImpl(stream.device_type());
}

}  // namespace

Result<Stream> Stream::current(const Device& device) {
  if (device.kind() == DeviceKind::kCpu) return Stream(std::make_shared<State>());
  return guarded("current stream of " + device.name(), [&]() -> Result<Stream> {
    const c10::Device torch = device.torch_device();
    const c10::impl::VirtualGuardImpl guard(torch.type());
    return Stream(std::make_shared<State>(State{guard.getStream(torch)}));
  });
}

Result<Stream> Stream::create(const Device& device) {
  if (device.kind() == DeviceKind::kCpu) return Stream(std::make_shared<State>());
  return guarded("new stream on " + device.name(), [&]() -> Result<Stream> {
    const c10::Device torch = device.torch_device();
    const c10::impl::VirtualGuardImpl guard(torch.type());
    return Stream(std::make_shared<State>(State{guard.getStreamFromGlobalPool(torch)}));
  });
}

Status Stream::synchronize() const {
  if (!state_->stream) return {};
  return guarded("synchronize a stream", [&] { state_->stream->synchronize(); });
}

Status Stream::wait(const Event& event) const {
  if (!state_->stream || !event.state_->event) return {};
  return guarded("make a stream wait", [&] { event.state_->event->block(*state_->stream); });
}

StreamScope::StreamScope(const Stream& stream) {
  if (!stream.state_->stream) return;
  const c10::Stream next = *stream.state_->stream;
  previous_ = std::make_shared<Stream::State>(Stream::State{guard_of(next).exchangeStream(next)});
}

StreamScope::~StreamScope() {
  if (previous_) guard_of(*previous_->stream).exchangeStream(*previous_->stream);
}

Event::Event(std::unique_ptr<State> state) : state_(std::move(state)) {}
Event::Event(Event&&) noexcept = default;
Event& Event::operator=(Event&&) noexcept = default;
Event::~Event() = default;

Result<Event> Event::create(const Device& device) {
  auto state = std::make_unique<State>();
  if (device.kind() != DeviceKind::kCpu) state->event.emplace(device.torch_device().type());
  return Event(std::move(state));
}

Status Event::record(const Stream& stream) {
  if (!state_->event || !stream.state_->stream) return {};
  return guarded("record an event", [&] { state_->event->record(*stream.state_->stream); });
}

Result<bool> Event::done() const {
  if (!state_->event) return true;
  return guarded("query an event", [&]() -> Result<bool> { return state_->event->query(); });
}

Status Event::synchronize() const {
  if (!state_->event) return {};
  return guarded("wait for an event", [&] { state_->event->synchronize(); });
}

}  // namespace skarv
