#include "wan-emulator/tun_main.h"

#include <signal.h>

#include <iostream>

#include "base/text.h"
#include "wan-emulator/namespace.h"
#include "wan-emulator/tun_relay.h"

namespace skarv::emulator {
namespace {

constexpr const char* kHelp =
    R"(skarv-wan tun: two network namespaces with one emulated link between

usage: skarv-wan tun [--in-a COMMAND] [--in-b COMMAND] [options]

  --in-a, --in-b COMMAND  run by sh in the namespace of 10.77.0.1 or 10.77.0.2
  --rate --delay --jitter --queue, each also with -a (from side a to b) or -b: skarv-wan --help;
                        a packet that finds the queue full is dropped
  --loss 0.1%           of packets; --seed 7 chooses which
  --congestion NAME     of TCP in the namespaces; default: the first of cubic, bbr, reno allowed
  --buffer 16MB         the most that a TCP socket buffers
  --control PATH        as in skarv-wan --help; a cut loses packets

Prints one line of JSON, runs until all commands have ended (without any: until SIGINT or SIGTERM;
enter with nsenter -n -t PID), prints the counts and the exit codes. Exits with the first exit code
that is not 0; 2: bad arguments; 3: not allowed here (needs root or user namespaces, /dev/net/tun).
)";

constexpr int kExitUsage = 2, kExitNotAllowed = 3;

TunRelay* running = nullptr;

void handle_signal(int /*signal*/) { running->stop(); }

struct Arguments {
  LinkSettings settings;
  std::array<std::string, 2> commands;
  std::string congestion, control;
  int64_t buffer_bytes = NamespaceSettings().buffer_bytes;
};

Result<Arguments> parse(const std::vector<std::string>& words) {
  Arguments arguments;
  for (size_t i = 0; i < words.size(); i += 2) {
    const std::string& flag = words[i];
    if (!flag.starts_with("--")) return config_error(cat("unexpected '", flag, "'"));
    if (i + 1 == words.size()) return config_error(cat(flag, " needs a value"));
    const std::string& value = words[i + 1];
    if (flag == "--in-a" || flag == "--in-b") {
      if (value.empty() || value.size() > 60000)
        return config_error(cat(flag, ": 1 to 60000 letters"));
      arguments.commands[flag == "--in-a" ? 0 : 1] = value;
    } else if (flag == "--congestion") {
      arguments.congestion = value;
    } else if (flag == "--control") {
      arguments.control = value;
    } else if (flag == "--buffer") {
      SKARV_ASSIGN(const double size, parse_size(value));
      if (size < 65536 || size > 1e9) return config_error("--buffer takes 65536B to 1000MB");
      arguments.buffer_bytes = static_cast<int64_t>(size);
    } else {
      SKARV_TRY(apply_flag(flag, value, arguments.settings));
    }
  }
  SKARV_TRY(Link::check(arguments.settings, Cargo::kPackets));
  return arguments;
}

Result<int> run(const Arguments& arguments) {
  std::vector<Namespace> sides;
  Json sides_json;
  for (const char* address : {"10.77.0.1", "10.77.0.2"}) {
    SKARV_ASSIGN(Namespace side,
                 Namespace::make({address, arguments.congestion, arguments.buffer_bytes}));
    sides_json[sides.empty() ? "a" : "b"] = {{"address", address},
                                             {"pid", side.pid()},
                                             {"congestion", side.congestion()},
                                             {"buffer_bytes", arguments.buffer_bytes}};
    sides.push_back(std::move(side));
  }
  TunRelay relay(arguments.settings, {sides[0].tun(), sides[1].tun()});
  SKARV_TRY(relay.open());
  if (!arguments.control.empty()) SKARV_TRY(relay.open_control(arguments.control));
  running = &relay;
  struct sigaction action {};
  action.sa_handler = handle_signal;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  sides_json["control"] = arguments.control;
  std::cout << sides_json.dump() << std::endl;
  std::vector<int> processes;
  for (size_t i = 0; i < 2; ++i) {
    if (arguments.commands[i].empty()) continue;
    SKARV_TRY(sides[i].start(arguments.commands[i]));
    processes.push_back(sides[i].ended());
  }
  SKARV_TRY(relay.run(processes));
  Json stats = relay.stats();
  int code = 0;
  for (size_t i = 0; i < 2; ++i) {
    if (arguments.commands[i].empty()) continue;
    kill(-sides[i].pid(), SIGKILL);  // after a signal; else it has ended and only leavings remain
    const int exit_code = sides[i].wait();
    stats[i == 0 ? "a" : "b"]["exit_code"] = exit_code;
    if (code == 0) code = exit_code;
  }
  std::cout << stats.dump() << std::endl;
  return code;
}

}  // namespace

int tun_main(const std::vector<std::string>& words) {
  if (!words.empty() && (words[0] == "--help" || words[0] == "-h")) {
    std::cout << kHelp;
    return 0;
  }
  const Result<Arguments> arguments = parse(words);
  const Result<int> code = arguments.ok() ? run(*arguments) : arguments.status();
  if (code.ok()) return *code;
  std::cerr << "skarv-wan tun: " << code.status() << "\n";
  if (!arguments.ok()) return kExitUsage;
  return code.status().code() == Code::kPermissionDenied ? kExitNotAllowed : 1;
}

}  // namespace skarv::emulator
