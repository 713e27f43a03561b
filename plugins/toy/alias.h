// A toy tensor seen as a CPU tensor over the same memory, so that a host kernel can work on it in
// place, and the way back.
#pragma once

#include <ATen/core/IListRef.h>
#include <ATen/core/List.h>
#include <ATen/core/Tensor.h>
#include <c10/util/Exception.h>

#include <optional>
#include <vector>

namespace toy {

inline bool is_toy(const at::Tensor& tensor) {
  return tensor.defined() && tensor.device().type() == c10::DeviceType::PrivateUse1;
}

// Same sizes, strides and type; owns nothing. Anything but a toy tensor comes back as it is.
at::Tensor alias(const at::Tensor& tensor);

// A CPU tensor that nothing else refers to, as one of the toy: no copy.
at::Tensor adopted(const at::Tensor& host, int device);

// The device that all toy tensors of one call are on. CPU tensors may come along only as scalars.
class CommonDevice {
 public:
  void add(const at::Tensor& tensor, const char* op) {
    if (!tensor.defined()) return;
    if (!is_toy(tensor)) {
      TORCH_CHECK(tensor.dim() == 0 && tensor.is_cpu(), op, ": a tensor of shape ", tensor.sizes(),
                  " on ", tensor.device(), " among tensors on the toy device");
      return;
    }
    TORCH_CHECK(index_ < 0 || index_ == tensor.device().index(), op, ": tensors on toy:", index_,
                " and on ", tensor.device());
    index_ = tensor.device().index();
  }
  int index() const { return index_; }

 private:
  int index_ = -1;
};

// Aliased<T>(argument).get(): the argument of an op with every toy tensor in it replaced by its
// alias, as the type T that the op's signature has.
template <typename T>
class Aliased {
 public:
  Aliased(T argument, CommonDevice&, const char*) : argument_(std::forward<T>(argument)) {}
  T get() { return std::forward<T>(argument_); }

 private:
  T argument_;
};

template <>
class Aliased<const at::Tensor&> {
 public:
  Aliased(const at::Tensor& argument, CommonDevice& device, const char* op)
      : alias_(alias(argument)) {
    device.add(argument, op);
  }
  const at::Tensor& get() { return alias_; }

 private:
  at::Tensor alias_;
};

template <>
class Aliased<at::Tensor&> {
 public:
  Aliased(at::Tensor& argument, CommonDevice& device, const char* op) : alias_(alias(argument)) {
    device.add(argument, op);
  }
  at::Tensor& get() { return alias_; }

 private:
  at::Tensor alias_;
};

template <>
class Aliased<const std::optional<at::Tensor>&> {
 public:
  Aliased(const std::optional<at::Tensor>& argument, CommonDevice& device, const char* op) {
    if (!argument) return;
    device.add(*argument, op);
    alias_ = alias(*argument);
  }
  const std::optional<at::Tensor>& get() { return alias_; }

 private:
  std::optional<at::Tensor> alias_;
};

template <>
class Aliased<at::TensorList> {
 public:
  Aliased(at::TensorList argument, CommonDevice& device, const char* op) {
    aliases_.reserve(argument.size());
    for (const at::Tensor& tensor : argument) {
      device.add(tensor, op);
      aliases_.push_back(alias(tensor));
    }
  }
  at::TensorList get() { return aliases_; }

 private:
  std::vector<at::Tensor> aliases_;
};

template <>
class Aliased<const at::ITensorListRef&> {
 public:
  Aliased(const at::ITensorListRef& argument, CommonDevice& device, const char* op) {
    for (const at::Tensor& tensor : argument) {
      device.add(tensor, op);
      aliases_.push_back(alias(tensor));
    }
    list_ = at::ITensorListRef(at::TensorList(aliases_));
  }
  const at::ITensorListRef& get() { return list_; }

 private:
  std::vector<at::Tensor> aliases_;
  at::ITensorListRef list_;
};

template <>
class Aliased<const c10::List<std::optional<at::Tensor>>&> {
 public:
  Aliased(const c10::List<std::optional<at::Tensor>>& argument, CommonDevice& device,
          const char* op) {
    for (const std::optional<at::Tensor>& tensor : argument) {
      if (tensor) device.add(*tensor, op);
      aliases_.push_back(tensor ? std::optional(alias(*tensor)) : std::nullopt);
    }
  }
  const c10::List<std::optional<at::Tensor>>& get() { return aliases_; }

 private:
  c10::List<std::optional<at::Tensor>> aliases_;
};

}  // namespace toy
