// Order of work on a device: a stream does what it is given in order, streams run side by side, an
// event marks a point in one that others can wait for. On cpu everything is done when a call
// returns: streams and events exist there and have nothing to do, so callers need no branch.
#pragma once

#include <memory>

#include "base/status.h"
#include "device/device.h"

namespace skarv {

class Event;

// A value; copies name the same stream. Thread-safe.
class Stream {
 public:
  static Result<Stream> current(const Device& device);  // of the calling thread
  // From the device's pool: a long program should make its few streams once and keep them.
  static Result<Stream> create(const Device& device);

  Status synchronize() const;  // the calling thread waits for all that it was given
  Status wait(
      const Event& event) const;  // what it is given next waits for the event; no thread does

 private:
  friend class Event;
  friend class StreamScope;
  struct State;
  explicit Stream(std::shared_ptr<const State> state) : state_(std::move(state)) {}
  std::shared_ptr<const State> state_;
};

// While it lives, ops of the calling thread go to the stream. Scopes nest.
class StreamScope {
 public:
  explicit StreamScope(const Stream& stream);
  ~StreamScope();
  StreamScope(const StreamScope&) = delete;
  StreamScope& operator=(const StreamScope&) = delete;

 private:
  std::shared_ptr<const Stream::State> previous_;
};

// Move-only. One thread at a time; may be waited for from another than the one that recorded it.
class Event {
 public:
  static Result<Event> create(const Device& device);
  Event(Event&&) noexcept;
  Event& operator=(Event&&) noexcept;
  ~Event();

  Status record(const Stream& stream);
  Result<bool> done() const;   // true as well when it was never recorded
  Status synchronize() const;  // the calling thread waits

 private:
  friend class Stream;
  struct State;
  explicit Event(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace skarv
