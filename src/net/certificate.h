// A run's own certificate authority, one certificate per name, and the run token: what `skarv cert`
// writes and Options::credentials reads. EC P-256, PEM files; keys and token are readable by their
// owner only (0600). Nothing here is needed for a run that stays on loopback.
#pragma once

#include <filesystem>
#include <string>

#include "base/status.h"
#include "net/transport.h"

namespace skarv::net {

// Error: not 1 to 64 of letters, digits and -_./ .
Status check_certificate_name(const std::string& name);
// Where the files of `name` lie in a folder of certificates; they need not be there.
Credentials credentials_of(const std::filesystem::path& folder, const std::string& name);

// ca.pem and ca.key in `folder` (made if absent), for `run`, valid for `num_days`. Error:
// kAlreadyExists if ca.pem or ca.key is there; nothing is ever overwritten.
Status make_authority(const std::filesystem::path& folder, const std::string& run,
                      int num_days = 825);

// `folder`/<name with / as _>.pem and .key, signed by the authority in `folder`. `name`: "north/a",
// "coordinator"; see check_certificate_name. Returns the paths of all three files.
Result<Credentials> make_certificate(const std::filesystem::path& folder, const std::string& name,
                                     int num_days = 825);

// `folder`/token: 32 random bytes as 64 hexadecimal letters. Error: kAlreadyExists.
Status make_token(const std::filesystem::path& folder);
// Error: kPermissionDenied if others may read the file; kInvalidArgument if it is empty.
Result<std::string> read_token(const std::filesystem::path& file);

// The name (subject's common name) in a certificate file.
Result<std::string> certificate_name(const std::filesystem::path& certificate);

}  // namespace skarv::net
