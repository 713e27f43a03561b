// Where the time of one step goes, op by op: forward, backward, gradient norm and AdamW of the
// whole model on one device. On a plug-in device it shows which ops its fallback does.
#pragma once

#include "base/status.h"
#include "device/device.h"
#include "device/profile_ops.h"
#include "spec/run.h"

namespace skarv::train {

// Of the second step: the first one warms up. Costs about a microsecond an op; no other work may
// run in the process meanwhile. Errors: of libtorch (kResourceExhausted when it does not fit).
Result<OpProfile> profile_step(const Run& run, const Device& device, int microbatch);

}  // namespace skarv::train
