// `skarv-wan tun`: its arguments, its commands, its exit code.
#pragma once

#include <string>
#include <vector>

namespace skarv::emulator {

int tun_main(const std::vector<std::string>& words);

}  // namespace skarv::emulator
