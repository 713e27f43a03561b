// skarv cert: a run's own certificate authority, certificates and token.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <set>

#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "net/certificate.h"
#include "verb.h"

namespace skarv {

namespace {

struct CertFlags {
  std::string run = "run", folder = "certs";
  std::vector<std::string> names;
  int num_days = 825;
  bool json = false;
};

// All names are looked at before the first file is written.
Status check_names(const CertFlags& flags) {
  std::set<std::string> files = {"ca"};
  for (const std::string& name : flags.names) {
    SKARV_TRY(net::check_certificate_name(name).wrap("skarv cert"));
    const std::filesystem::path path = net::credentials_of(flags.folder, name).certificate;
    if (!files.insert(path.stem().string()).second) {
      return config_error(cat("the name '", name, "' is given twice, or is the authority's"))
          .at(path.string())
          .with_hint("every name has its own pair of files: choose another");
    }
    if (std::filesystem::exists(path)) {
      return Status(Code::kAlreadyExists, Scope::kConfig, cat("'", name, "' has a certificate"))
          .at(path.string())
          .with_hint("nothing is overwritten: choose another folder, or remove the old pair");
    }
  }
  return Status();
}

Status make_certificates(const CertFlags& flags) {
  SKARV_TRY(net::check_certificate_name(flags.run).wrap("--run"));
  SKARV_TRY(check_names(flags));
  const std::filesystem::path folder = flags.folder;
  Json report = {{"folder", flags.folder}, {"certificates", Json::array()}};
  // A second call adds names to an authority that is there.
  if (!std::filesystem::exists(folder / "ca.pem")) {
    SKARV_TRY(net::make_authority(folder, flags.run, flags.num_days));
    SKARV_TRY(net::make_token(folder));
    if (!flags.json)
      std::printf("authority of run '%s': %s\n", flags.run.c_str(), (folder / "ca.pem").c_str());
  }
  for (const std::string& name : flags.names) {
    SKARV_ASSIGN(const net::Credentials credentials,
                 net::make_certificate(folder, name, flags.num_days));
    report["certificates"].push_back({{"name", name},
                                      {"certificate", credentials.certificate.string()},
                                      {"key", credentials.key.string()}});
    if (!flags.json) std::printf("%-16s %s\n", name.c_str(), credentials.certificate.c_str());
  }
  if (flags.json) {
    std::printf("%s\n", report.dump(2).c_str());
  } else {
    std::printf(
        "Give each host ca.pem, token and its own .pem and .key; keep ca.key to yourself.\n");
  }
  return Status();
}

}  // namespace

void add_cert(CLI::App& app, VerbAction& action) {
  auto flags = std::make_shared<CertFlags>();
  CLI::App* verb = app.add_subcommand("cert", "make a run's certificates and token");
  verb->add_option("names", flags->names, "coordinator, and every island")->required();
  verb->add_option("--run", flags->run, "name of the run")->capture_default_str();
  verb->add_option("--folder", flags->folder, "where the files go")->capture_default_str();
  verb->add_option("--days", flags->num_days, "validity")
      ->check(CLI::Range(1, 36500))
      ->capture_default_str();
  verb->add_flag("--json", flags->json, "print JSON");
  verb->footer("Example: skarv cert --run first --folder certs coordinator north south");
  verb->callback([flags, &action] { action = [flags] { return make_certificates(*flags); }; });
}

}  // namespace skarv
