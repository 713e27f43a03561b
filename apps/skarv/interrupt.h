// Ctrl-C and SIGTERM as a question that loops ask: stop in order at the first, at once at the
// second.
#pragma once

namespace skarv {

void watch_interrupts();  // from here on signals are counted instead of ending the process
int num_interrupts();

}  // namespace skarv
