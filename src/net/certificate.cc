#include "net/certificate.h"

#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <functional>
#include <memory>

#include "base/digest.h"
#include "base/file.h"
#include "base/text.h"

namespace skarv::net {
namespace {

namespace fs = std::filesystem;

template <auto free_function>
struct Free {
  void operator()(auto* pointer) const { free_function(pointer); }
};
using Key = std::unique_ptr<EVP_PKEY, Free<EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, Free<X509_free>>;
using Memory = std::unique_ptr<BIO, Free<BIO_free_all>>;

constexpr size_t kMaxNameBytes = 64;  // X.509's own bound of a common name

Status openssl_error(const std::string& what) {
  std::array<char, 256> text{};
  ERR_error_string_n(ERR_get_error(), text.data(), text.size());
  return Status(Code::kInternal, Scope::kConfig, cat(what, ": ", text.data()));
}

// A new file, never an old one.
Status write_new(const fs::path& path, std::string_view content, mode_t mode) {
  FileHandle file(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode));
  if (!file) {
    return io_error("cannot write", path.string(), errno)
        .with_hint("nothing is overwritten: choose another folder, or remove the old set");
  }
  while (!content.empty()) {
    const ssize_t written = write(file.get(), content.data(), content.size());
    if (written < 0) return io_error("cannot write", path.string(), errno);
    content.remove_prefix(static_cast<size_t>(written));
  }
  if (fsync(file.get()) != 0) return io_error("cannot write", path.string(), errno);
  return {};
}

Result<std::string> to_pem(const std::function<int(BIO*)>& write) {
  const Memory memory(BIO_new(BIO_s_mem()));
  if (write(memory.get()) != 1) return openssl_error("cannot encode");
  char* data = nullptr;
  const long size = BIO_get_mem_data(memory.get(), &data);
  return std::string(data, static_cast<size_t>(size));
}

Result<Certificate> read_certificate(const fs::path& path) {
  SKARV_ASSIGN(const std::string text, read_file(path));
  const Memory memory(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
  Certificate certificate(PEM_read_bio_X509(memory.get(), nullptr, nullptr, nullptr));
  if (!certificate) {
    return config_error("not a PEM certificate")
        .at(path.string())
        .with_hint("copy it again, or make it with: skarv cert");
  }
  return certificate;
}

Result<Key> read_key(const fs::path& path) {
  SKARV_ASSIGN(const std::string text, read_file(path));
  const Memory memory(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
  Key key(PEM_read_bio_PrivateKey(memory.get(), nullptr, nullptr, nullptr));
  if (!key) {
    return config_error("not a PEM private key")
        .at(path.string())
        .with_hint("copy it again, or make it with: skarv cert");
  }
  return key;
}

bool add_extension(X509* certificate, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  const std::unique_ptr<X509_EXTENSION, Free<X509_EXTENSION_free>> extension(
      X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str()));
  return extension && X509_add_ext(certificate, extension.get(), -1) == 1;
}

// Subject `name`, signed by `issuer_key`; without an issuer it is its own authority.
Result<Certificate> sign(EVP_PKEY* key, const std::string& name, int num_days, X509* issuer,
                         EVP_PKEY* issuer_key) {
  Certificate certificate(X509_new());
  std::array<unsigned char, 16> serial;
  if (RAND_bytes(serial.data(), serial.size()) != 1) return openssl_error("no random bytes");
  serial[0] &= 0x7f;  // positive
  const std::unique_ptr<BIGNUM, Free<BN_free>> number(
      BN_bin2bn(serial.data(), serial.size(), nullptr));
  const bool is_authority = issuer == nullptr;
  X509* const self = certificate.get();
  X509_NAME* const subject = X509_get_subject_name(self);
  const bool is_filled =
      BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(self)) != nullptr &&
      X509_set_version(self, X509_VERSION_3) == 1 &&
      // Back-dated by an hour, for sites whose clocks differ a little.
      X509_gmtime_adj(X509_getm_notBefore(self), -3600) != nullptr &&
      X509_time_adj_ex(X509_getm_notAfter(self), num_days, 0, nullptr) != nullptr &&
      X509_NAME_add_entry_by_NID(subject, NID_commonName, MBSTRING_UTF8,
                                 reinterpret_cast<const unsigned char*>(name.data()),
                                 static_cast<int>(name.size()), -1, 0) == 1 &&
      X509_set_issuer_name(self, is_authority ? subject : X509_get_subject_name(issuer)) == 1 &&
      X509_set_pubkey(self, key) == 1;
  X509* const signer = is_authority ? self : issuer;
  const bool is_extended =
      is_filled &&
      add_extension(self, signer, NID_basic_constraints,
                    is_authority ? "critical,CA:TRUE,pathlen:0" : "critical,CA:FALSE") &&
      add_extension(self, signer, NID_key_usage,
                    is_authority ? "critical,keyCertSign" : "critical,digitalSignature") &&
      add_extension(self, signer, NID_subject_key_identifier, "hash") &&
      (is_authority || add_extension(self, signer, NID_ext_key_usage, "serverAuth,clientAuth"));
  if (!is_extended || X509_sign(self, issuer_key, EVP_sha256()) == 0) {
    return openssl_error("cannot make a certificate");
  }
  return certificate;
}

Status write_pair(const fs::path& certificate_path, X509* certificate, const fs::path& key_path,
                  EVP_PKEY* key) {
  SKARV_ASSIGN(const std::string key_text, to_pem([&](BIO* out) {
                 return PEM_write_bio_PrivateKey(out, key, nullptr, nullptr, 0, nullptr, nullptr);
               }));
  SKARV_ASSIGN(const std::string certificate_text,
               to_pem([&](BIO* out) { return PEM_write_bio_X509(out, certificate); }));
  SKARV_TRY(write_new(key_path, key_text, 0600));
  return write_new(certificate_path, certificate_text, 0644);
}

std::string file_stem(std::string name) {
  for (char& letter : name) {
    if (letter == '/') letter = '_';
  }
  return name;
}

}  // namespace

Status check_certificate_name(const std::string& name) {
  const std::string allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./";
  if (name.empty() || name.size() > kMaxNameBytes ||
      name.find_first_not_of(allowed) != std::string::npos) {
    return config_error(cat("'", name, "' cannot be a name in a certificate"))
        .with_hint("1 to 64 of letters, digits, '-', '_', '.' and '/'");
  }
  return {};
}

Credentials credentials_of(const fs::path& folder, const std::string& name) {
  const std::string stem = file_stem(name);
  return {folder / "ca.pem", folder / (stem + ".pem"), folder / (stem + ".key")};
}

Status make_authority(const fs::path& folder, const std::string& run, int num_days) {
  SKARV_TRY(check_certificate_name(run));
  SKARV_TRY(make_directories(folder));
  const Key key(EVP_EC_gen("P-256"));
  if (!key) return openssl_error("cannot make a key");
  SKARV_ASSIGN(const Certificate certificate, sign(key.get(), run, num_days, nullptr, key.get()));
  return write_pair(folder / "ca.pem", certificate.get(), folder / "ca.key", key.get());
}

Result<Credentials> make_certificate(const fs::path& folder, const std::string& name,
                                     int num_days) {
  SKARV_TRY(check_certificate_name(name));
  SKARV_ASSIGN(const Certificate authority, read_certificate(folder / "ca.pem"));
  SKARV_ASSIGN(const Key authority_key, read_key(folder / "ca.key"));
  const Key key(EVP_EC_gen("P-256"));
  if (!key) return openssl_error("cannot make a key");
  SKARV_ASSIGN(const Certificate certificate,
               sign(key.get(), name, num_days, authority.get(), authority_key.get()));
  Credentials files = credentials_of(folder, name);
  SKARV_TRY(write_pair(files.certificate, certificate.get(), files.key, key.get()));
  return files;
}

Status make_token(const fs::path& folder) {
  SKARV_TRY(make_directories(folder));
  Digest token;
  if (RAND_bytes(token.bytes.data(), token.bytes.size()) != 1) {
    return openssl_error("no random bytes");
  }
  return write_new(folder / "token", token.hex() + "\n", 0600);
}

Result<std::string> read_token(const fs::path& file) {
  struct stat info;
  if (stat(file.c_str(), &info) == 0 && (info.st_mode & 077) != 0) {
    return Status(Code::kPermissionDenied, Scope::kConfig, "others may read this token")
        .at(file.string())
        .with_hint("chmod 600 it");
  }
  SKARV_ASSIGN(std::string token, read_file(file));
  while (!token.empty() && (token.back() == '\n' || token.back() == '\r')) token.pop_back();
  if (token.empty()) {
    return config_error("the token file is empty")
        .at(file.string())
        .with_hint("copy it again from the folder where skarv cert made it");
  }
  return token;
}

Result<std::string> certificate_name(const fs::path& path) {
  SKARV_ASSIGN(const Certificate certificate, read_certificate(path));
  std::array<char, 128> name{};
  const int length = X509_NAME_get_text_by_NID(X509_get_subject_name(certificate.get()),
                                               NID_commonName, name.data(), name.size());
  if (length <= 0) return config_error("the certificate names nobody").at(path.string());
  return std::string(name.data(), static_cast<size_t>(length));
}

}  // namespace skarv::net
