// A device that computes: a handle over libtorch, which owns memory and dispatches the ops. Skarv
// adds what a plan needs to know (attributes, memory figures) and what an executor needs to say
// (synchronize, make current). CPU is the reference; every other device must agree with it.
//
// Names: "cpu", "cuda:1" (also for ROCm, as libtorch has it), or the name that a loaded plug-in
// gave itself with an index, "toy:0" (device/plugin.h). Without an index, 0.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"

namespace c10 {
struct Device;
}

namespace skarv {

enum class DeviceKind { kCpu, kCuda, kPlugin };
const char* name_of(DeviceKind kind);  // "cpu", "cuda", "plug-in"

struct DeviceAttributes {
  std::string chip;      // what the maker calls it: "NVIDIA H20", "Intel(R) Xeon(R) ...", "toy"
  bool supports_bf16;    // a product of bf16 matrices runs; says nothing about its speed
  bool has_streams;      // work may still run when a call returns
  bool has_pinned_host;  // host memory that the device copies from and to by itself
};

// On cpu: `total` and `free` of the host within the limit of its control group; `allocated` and
// `peak` are tensor memory of this process (scratch space of math libraries is not in them).
struct MemoryFigures {
  int64_t total_bytes = 0;
  int64_t free_bytes = 0;
  int64_t allocated_bytes = 0;  // by tensors now
  int64_t peak_bytes = 0;       // most allocated_bytes since the last reset_peak()
};

// A value, freely copied; thread-safe. Valid for the life of the process.
class Device {
 public:
  // Error: kNotFound with the devices that there are.
  static Result<Device> open(const std::string& name);
  // Every device of this process by name, "cpu" first.
  static std::vector<std::string> available();

  DeviceKind kind() const { return kind_; }
  int index() const { return index_; }
  const std::string& name() const { return name_; }
  c10::Device torch_device() const;

  // Measures once a call (runs a tiny product): keep the answer.
  Result<DeviceAttributes> attributes() const;
  Result<MemoryFigures> memory() const;
  Status reset_peak() const;
  // Gives memory that libtorch keeps for reuse back to the device. Nothing on cpu.
  Status release_cached() const;

  // Makes it the current device of the calling thread. Once at the start of each thread that uses
  // it.
  Status make_current() const;
  // Waits for everything given to the device, on all its streams. Nothing on cpu.
  Status synchronize() const;

  bool operator==(const Device& other) const {
    return kind_ == other.kind_ && index_ == other.index_;
  }

 private:
  Device(DeviceKind kind, int index, std::string name)
      : kind_(kind), index_(index), name_(std::move(name)) {}

  DeviceKind kind_;
  int index_;
  std::string name_;
};

}  // namespace skarv
