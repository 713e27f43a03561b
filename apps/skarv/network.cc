#include "network.h"

#include <CLI/CLI.hpp>

#include "base/file.h"
#include "base/text.h"
#include "net/certificate.h"

namespace skarv {

void add_network_flags(CLI::App& verb, NetworkFlags& flags) {
  verb.add_option("--certs", flags.certs, "folder of skarv cert: ca.pem, token, own .pem and .key");
  verb.add_flag("--plain", flags.plain, "no TLS; loopback addresses only");
}

std::string listen_address(const NetworkFlags& flags, const std::string& given, int port) {
  if (!given.empty()) return given;
  return cat(flags.plain ? "127.0.0.1" : "0.0.0.0", ":", port);
}

Result<Network> open_network(const NetworkFlags& flags, const Run& run, const std::string& name) {
  if (flags.certs.empty() == !flags.plain) {
    return config_error("say how connections are secured: --certs FOLDER, or --plain on loopback")
        .with_hint("make certificates with: skarv cert coordinator <island>...");
  }
  Network network;
  network.options.run = run.name;
  network.options.name = name;
  network.options.detection_time = from_seconds(run.exchange.detection_seconds);
  if (flags.plain) {
    network.transport = net::make_tcp_transport();
    network.options.token = run.name;  // plain runs stay on this machine
    return network;
  }
  const std::filesystem::path folder = flags.certs;
  const net::Credentials files = net::credentials_of(folder, name);
  for (const auto& path : {files.ca, files.certificate, files.key, folder / "token"}) {
    if (std::filesystem::exists(path)) continue;
    return Status(Code::kNotFound, Scope::kConfig,
                  cat("--certs: a file of '", name, "' is missing"))
        .at(path.string())
        .with_hint(cat("make it with: skarv cert ", name, " --folder ", flags.certs,
                       ", or copy it from where the authority is"));
  }
  SKARV_ASSIGN(const std::string certified, net::certificate_name(files.certificate));
  if (certified != name) {
    return config_error(cat("this certificate is for '", certified, "', not for '", name, "'"))
        .at(files.certificate.string())
        .with_hint("every name has its own certificate: skarv cert");
  }
  network.options.credentials = files;
  SKARV_ASSIGN(network.options.token, net::read_token(folder / "token"));
  network.transport = net::make_tls_transport();
  return network;
}

Status give_certificates(const std::filesystem::path& authority, const std::string& run,
                         const std::string& name, const std::filesystem::path& folder) {
  namespace fs = std::filesystem;
  if (!fs::exists(authority / "ca.pem")) SKARV_TRY(net::make_authority(authority, run));
  if (!fs::exists(authority / "token")) SKARV_TRY(net::make_token(authority));
  SKARV_TRY(make_directories(folder));
  const net::Credentials made = net::credentials_of(authority, name);
  const net::Credentials own = net::credentials_of(folder, name);
  if (!fs::exists(own.certificate)) {
    if (!fs::exists(made.certificate)) SKARV_TRY(net::make_certificate(authority, name).status());
    // The certificate goes last: where it is, the key was before, also after a crash in between.
    for (const auto& [from, to] :
         {std::pair(made.key, own.key), std::pair(made.certificate, own.certificate)}) {
      std::error_code error;
      if (fs::exists(from)) fs::rename(from, to, error);
      if (error) return io_error("cannot move", from.string(), error.value());
    }
  }
  for (const char* file : {"ca.pem", "token"}) {
    std::error_code error;
    fs::copy_file(authority / file, folder / file, fs::copy_options::overwrite_existing, error);
    if (error) return io_error("cannot copy", (folder / file).string(), error.value());
  }
  return Status();
}

}  // namespace skarv
