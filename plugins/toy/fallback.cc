// Every op without a kernel of the toy: the host's kernel runs on aliases of the arguments, and
// what it makes is adopted. No bytes are copied. Calls and time are counted.
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/ivalue.h>
#include <ATen/core/stack.h>
#include <ATen/record_function.h>
#include <torch/library.h>

#include <string>
#include <vector>

#include "alias.h"
#include "context.h"
#include "memory.h"
#include "stats.h"

namespace toy {
namespace {

// A view that a host kernel makes would be of the alias, not of the tensor: writes through it would
// reach memory whose life nobody holds. All view ops that there are have kernels of their own, so a
// new one has to be noticed.
void refuse_views(const c10::FunctionSchema& schema, const std::string& name) {
  for (const c10::Argument& result : schema.returns()) {
    TORCH_CHECK(result.alias_info() == nullptr || result.alias_info()->isWrite(), name,
                " makes a view and the toy device has no kernel for it");
  }
}

class Call {
 public:
  Call(const c10::FunctionSchema& schema, const std::string& name, torch::jit::Stack* stack)
      : schema_(schema), name_(name), stack_(*stack) {
    const size_t num_arguments = schema.arguments().size();
    originals_.assign(stack_.end() - static_cast<ptrdiff_t>(num_arguments), stack_.end());
    for (size_t i = 0; i < num_arguments; ++i) {
      c10::IValue& argument = stack_[stack_.size() - num_arguments + i];
      argument = on_host(argument);
    }
  }

  // Replaces the host's results on the stack by the toy's.
  void take_results() {
    const size_t num_results = schema_.returns().size();
    const size_t first = stack_.size() - num_results;
    finish_empty_outputs();
    for (size_t i = 0; i < num_results; ++i) {
      const c10::Argument& result = schema_.returns()[i];
      stack_[first + i] = result.alias_info() != nullptr
                              ? originals_[argument_written_by(*result.alias_info())]
                              : on_toy(stack_[first + i]);
    }
  }

 private:
  c10::IValue on_host(const c10::IValue& argument) {
    if (argument.isTensor()) return host_tensor(argument.toTensor());
    if (argument.isTensorList()) {
      c10::List<at::Tensor> list;
      for (const at::Tensor& tensor : argument.toTensorVector())
        list.push_back(host_tensor(tensor));
      return list;
    }
    if (argument.isOptionalTensorList()) {
      c10::List<std::optional<at::Tensor>> list;
      for (const std::optional<at::Tensor>& tensor : argument.toOptionalTensorVector()) {
        list.push_back(tensor ? std::optional(host_tensor(*tensor)) : std::nullopt);
      }
      return list;
    }
    if (argument.isDevice() && argument.toDevice().type() == c10::DeviceType::PrivateUse1) {
      const c10::Device device = argument.toDevice();
      wanted_device_ = device.has_index() ? device.index() : current_device();
      return c10::Device(c10::DeviceType::CPU);
    }
    return argument;
  }

  at::Tensor host_tensor(const at::Tensor& tensor) {
    device_.add(tensor, name_.c_str());
    if (!is_toy(tensor)) return tensor;
    // An output without memory yet is sized by the kernel: give it one that can grow.
    if (tensor.storage().nbytes() == 0 && tensor.numel() == 0) {
      const at::Tensor growing = at::detail::make_tensor<c10::TensorImpl>(
          c10::Storage(c10::Storage::use_byte_size_t(), 0, c10::GetAllocator(c10::DeviceType::CPU),
                       true),
          c10::DispatchKeySet(c10::DispatchKey::CPU), tensor.dtype());
      growing.unsafeGetTensorImpl()->set_sizes_and_strides(tensor.sizes(), tensor.strides());
      empty_.emplace_back(tensor, growing);
      return growing;
    }
    return alias(tensor);
  }

  void finish_empty_outputs() {
    for (auto& [tensor, grown] : empty_) {
      if (grown.numel() == 0) continue;
      tensor.unsafeGetTensorImpl()->set_storage_keep_dtype(adopt(grown.storage(), device()));
      tensor.unsafeGetTensorImpl()->set_sizes_and_strides(grown.sizes(), grown.strides(),
                                                          grown.storage_offset());
    }
  }

  size_t argument_written_by(const c10::AliasInfo& result) const {
    for (size_t i = 0; i < schema_.arguments().size(); ++i) {
      const c10::AliasInfo* written = schema_.arguments()[i].alias_info();
      if (written != nullptr && written->beforeSets() == result.beforeSets()) return i;
    }
    TORCH_CHECK(false, name_, ": a result is written to no argument");
  }

  c10::IValue on_toy(const c10::IValue& result) const {
    if (result.isTensor()) return toy_tensor(result.toTensor());
    if (result.isTensorList()) {
      c10::List<at::Tensor> list;
      for (const at::Tensor& tensor : result.toTensorVector()) list.push_back(toy_tensor(tensor));
      return list;
    }
    return result;
  }

  at::Tensor toy_tensor(const at::Tensor& tensor) const {
    if (!tensor.defined() || device() < 0) return tensor;
    // The allocation of a toy tensor is nobody's to adopt a second time.
    TORCH_CHECK(
        tensor.storage().nbytes() == 0 || device_of(to_fake(tensor.storage().mutable_data())) < 0,
        name_, " returned the memory of its argument, and its schema does not say so");
    return adopted(tensor, device());
  }

  int device() const { return device_.index() >= 0 ? device_.index() : wanted_device_; }

  const c10::FunctionSchema& schema_;
  const std::string& name_;
  torch::jit::Stack& stack_;
  std::vector<c10::IValue> originals_;
  std::vector<std::pair<at::Tensor, at::Tensor>> empty_;
  CommonDevice device_;
  int wanted_device_ = -1;
};

void fallback(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  const std::string name = c10::toString(op.operator_name());
  refuse_views(op.schema(), name);
  const Counted counted(counter_of(name, Way::kFallback));
  const at::AutoDispatchBelowADInplaceOrView below_autograd;
  const at::DisableRecordFunctionGuard unrecorded;
  Call call(op.schema(), name, stack);
  op.redispatchBoxed(c10::DispatchKeySet(c10::DispatchKey::CPU), stack);
  call.take_results();
}

TORCH_LIBRARY_IMPL(_, PrivateUse1, library) {
  library.fallback(torch::CppFunction::makeFromBoxedFunction<&fallback>());
}

}  // namespace
}  // namespace toy
