// Runs the host's kernel of an op on aliases of toy tensors, so that its results land in toy
// memory.
#pragma once

#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/record_function.h>

#include <string>
#include <tuple>
#include <type_traits>
#include <utility>

#include "alias.h"
#include "stats.h"

namespace toy {

// "aten::add.out", as libtorch writes an op and its overload.
template <typename Op>
const std::string& name_of() {
  static const std::string name = *Op::overload_name == '\0'
                                      ? std::string(Op::name)
                                      : std::string(Op::name) + "." + Op::overload_name;
  return name;
}

template <typename Op, Way kWay>
OpCounter& counter_of() {
  static OpCounter& counter = counter_of(name_of<Op>(), kWay);
  return counter;
}

// For ops (structs of at::_ops) whose results are all among their arguments; `call` has the op's
// signature, so it can be registered as its kernel.
template <typename Op, typename Signature = typename Op::schema>
struct OnHost;

template <typename Op, typename Result, typename... Arguments>
struct OnHost<Op, Result(Arguments...)> {
  static Result call(Arguments... arguments) {
    const Counted counted(counter_of<Op, Way::kLibrary>());
    const at::AutoDispatchBelowADInplaceOrView below_autograd;
    const at::DisableRecordFunctionGuard unrecorded;
    CommonDevice device;
    std::tuple<Aliased<Arguments>...> aliases(
        Aliased<Arguments>(std::forward<Arguments>(arguments), device, name_of<Op>().c_str())...);
    std::apply([](auto&... alias) { Op::call(alias.get()...); }, aliases);
    if constexpr (!std::is_void_v<Result>) return written<Result>(arguments...);
  }

 private:
  // The arguments that the op writes are its only references to tensors that are not const, in the
  // order of its results.
  template <typename Written, typename... All>
  static Written written(All&... all) {
    auto outputs = std::tuple_cat(output(all)...);
    if constexpr (std::is_reference_v<Written>) {
      return std::get<0>(outputs);
    } else {
      return outputs;
    }
  }
  static std::tuple<at::Tensor&> output(at::Tensor& tensor) { return std::tie(tensor); }
  template <typename Other>
  static std::tuple<> output(Other&) {
    return {};
  }
};

}  // namespace toy
