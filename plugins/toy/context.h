// What each thread has current: a device, and a stream on each device.
#pragma once

#include <c10/core/Stream.h>

namespace toy {

int current_device();
// Returns the device before. Throws for one that does not exist.
int exchange_device(int device);

}  // namespace toy
