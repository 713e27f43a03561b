// What differs between kinds of devices, inside this room. A new kind is one object and one line in
// the list of device.cc. Methods may throw what libtorch throws: device.cc turns it into a Status.
#pragma once

#include <string>

#include "device/device.h"

namespace skarv {

class Backend {
 public:
  virtual ~Backend() = default;
  virtual DeviceKind kind() const = 0;
  virtual std::string prefix() const = 0;  // of its device names; empty: no such devices here
  virtual int num_devices() const = 0;     // never throws
  virtual c10::Device torch_device(int index) const = 0;
  virtual std::string chip(int index) const = 0;
  virtual bool has_streams() const = 0;
  virtual bool has_pinned_host() const = 0;
  virtual MemoryFigures memory(int index) const = 0;
  virtual void reset_peak(int index) const = 0;
  virtual void release_cached() const = 0;
  virtual void make_current(int index) const = 0;
  virtual void synchronize(int index) const = 0;
};

const Backend& cpu_backend();
const Backend& cuda_backend();
const Backend& plugin_backend();
const Backend& backend_of(DeviceKind kind);

}  // namespace skarv
