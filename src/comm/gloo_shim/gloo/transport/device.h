// Part of the shim: handled by pointer only.
#pragma once

namespace gloo::transport {
class Device;
}  // namespace gloo::transport
