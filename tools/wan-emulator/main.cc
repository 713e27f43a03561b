// skarv-wan: a WAN on one machine. Arguments, signals, and the line that says which ports it got.
#include <signal.h>

#include <iostream>

#include "base/text.h"
#include "wan-emulator/relay.h"
#include "wan-emulator/tun_main.h"

namespace skarv::emulator {
namespace {

constexpr const char* kHelp = R"(skarv-wan: relays TCP connections over one emulated link

usage: skarv-wan (--listen HOST:PORT --to HOST:PORT)... [options]
       skarv-wan tun ...     the same link for IP packets, with loss: skarv-wan tun --help

  --listen HOST:PORT    dialers come here; their bytes take direction a, answers direction b
  --listen-b HOST:PORT  the same for dialers at the other side: their bytes take direction b
  --to HOST:PORT        where the connections of the --listen before it go
                        all forwardings share one link, each direction by itself; port 0: a free one
  --rate 100Mbit        bit, kbit, Mbit, Gbit per second; 0 (default): unlimited
  --delay 50ms          one way; us, ms, s
  --jitter 1ms          delay +- this much
  --window 4MB          per stream: at most window / (delay there and back); B, kB, MB
  --queue 30ms          what the link buffers before senders feel it
                        each of these with -a or -b after its name for one direction: --rate-a
  --control PATH        a Unix socket that takes commands, one a line, and answers in JSON:
                        set rate=1Gbit a.delay=20ms | cut a|b|both | heal [a|b] | stats
  --help

Prints one line of JSON with its ports, then works until SIGINT or SIGTERM. No privileges needed.
No loss and no congestion control: one stream fills the link unless --window caps it. A connect
succeeds at once. A cut is invisible to TCP.
)";

Relay* running = nullptr;

void handle_signal(int /*signal*/) { running->stop(); }

struct Arguments {
  LinkSettings settings;
  std::vector<Forwarding> forwardings;
  std::string control;
  bool wants_help = false;
};

Result<Arguments> parse(const std::vector<std::string>& words) {
  Arguments arguments;
  bool needs_target = false;
  for (size_t i = 0; i < words.size(); ++i) {
    const std::string& flag = words[i];
    if (flag == "--help" || flag == "-h") {
      arguments.wants_help = true;
      return arguments;
    }
    if (!flag.starts_with("--")) return config_error(cat("unexpected '", flag, "'"));
    if (++i == words.size()) return config_error(cat(flag, " needs a value"));
    const std::string& value = words[i];
    if (flag == "--listen" || flag == "--listen-b") {
      if (needs_target) return config_error("each --listen needs its --to before the next");
      SKARV_ASSIGN(net::Address address, net::parse_address(value));
      arguments.forwardings.push_back(
          {std::move(address), {}, flag == "--listen" ? Direction::kA : Direction::kB});
      needs_target = true;
    } else if (flag == "--to") {
      if (!needs_target) return config_error("--to belongs to the --listen before it");
      SKARV_ASSIGN(arguments.forwardings.back().target, net::parse_address(value));
      needs_target = false;
    } else if (flag == "--control") {
      arguments.control = value;
    } else {
      SKARV_TRY(apply_flag(flag, value, arguments.settings));
    }
  }
  if (arguments.forwardings.empty() || needs_target) {
    return config_error("nothing to relay: give --listen and --to");
  }
  SKARV_TRY(Link::check(arguments.settings, Cargo::kStreams));
  return arguments;
}

Status run(const Arguments& arguments) {
  Relay relay(arguments.settings);
  Json forwardings = Json::array();
  for (const Forwarding& forwarding : arguments.forwardings) {
    SKARV_TRY(relay.add(forwarding));
    const Forwarding& added = relay.forwardings().back();
    forwardings.push_back({{"listen", added.listen.text()},
                           {"port", added.listen.port},
                           {"to", added.target.text()},
                           {"direction", added.direction == Direction::kA ? "a" : "b"}});
  }
  if (!arguments.control.empty()) SKARV_TRY(relay.open_control(arguments.control));
  running = &relay;
  struct sigaction action {};
  action.sa_handler = handle_signal;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  std::cout << Json{{"forwardings", forwardings}, {"control", arguments.control}}.dump()
            << std::endl;
  return relay.run();
}

int main_of(int argc, char** argv) {
  if (argc > 1 && std::string_view(argv[1]) == "tun") return tun_main({argv + 2, argv + argc});
  const Result<Arguments> arguments = parse({argv + 1, argv + argc});
  if (arguments.ok() && arguments->wants_help) {
    std::cout << kHelp;
    return 0;
  }
  const Status status = arguments.ok() ? run(*arguments) : arguments.status();
  if (status.ok()) return 0;
  std::cerr << "skarv-wan: " << status << "\n";
  if (!arguments.ok()) std::cerr << "  skarv-wan --help says how\n";
  return arguments.ok() ? 1 : 2;
}

}  // namespace
}  // namespace skarv::emulator

int main(int argc, char** argv) { return skarv::emulator::main_of(argc, argv); }
