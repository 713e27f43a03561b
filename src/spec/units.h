// Quantities as people write them, always with a unit: "8 GB", "100 Mbit/s", "20 ms", "0.1 %".
// Powers of 1000 unless the unit says Ki, Mi, Gi.
#pragma once

#include <string_view>

#include "base/status.h"

namespace skarv {

enum class Quantity { kBytes, kBytesPerSecond, kSeconds, kFraction };

// In bytes, bytes/s, seconds or parts of one. Error: kInvalidArgument naming the units there are.
Result<double> parse_quantity(std::string_view text, Quantity quantity);
// "a size such as \"8 GB\"": what a message says is expected.
const char* example_of(Quantity quantity);

}  // namespace skarv
