#include "net/tls_stream.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/stat.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include "base/text.h"
#include "net/certificate.h"
#include "net/tcp_stream.h"

namespace skarv::net {
namespace asio = boost::asio;
namespace ssl = boost::asio::ssl;
namespace {

constexpr auto kNoThrow = asio::as_tuple(asio::use_awaitable);
constexpr char kExporterLabel[] = "EXPORTER-skarv-channel-binding";
constexpr size_t kBindingBytes = 32;

Status tls_status(const boost::system::error_code& error, SSL* tls) {
  if (!error) return {};
  if (error == ssl::error::stream_truncated) return stream_status(asio::error::eof);
  if (error.category() != asio::error::get_ssl_category()) return stream_status(error);
  const long verdict = SSL_get_verify_result(tls);
  if (verdict != X509_V_OK) {
    return Status(Code::kPermissionDenied, Scope::kPeer,
                  cat("the other end's certificate is refused: ",
                      X509_verify_cert_error_string(verdict)))
        .with_hint("both ends need certificates by the same run's authority (skarv cert)");
  }
  const int reason = ERR_GET_REASON(error.value());
  if (reason == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE) {
    return Status(Code::kPermissionDenied, Scope::kPeer, "the other end shows no certificate")
        .with_hint("give it one with skarv cert");
  }
  if (reason == SSL_R_TLSV1_ALERT_UNKNOWN_CA || reason == SSL_R_SSLV3_ALERT_BAD_CERTIFICATE ||
      reason == SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN ||
      reason == SSL_R_TLSV1_ALERT_DECRYPT_ERROR ||
      reason == SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED) {
    return Status(Code::kPermissionDenied, Scope::kPeer,
                  cat("the other end refuses our certificate: ", error.message()))
        .with_hint("both ends need certificates by the same run's authority (skarv cert)");
  }
  return Status(Code::kInvalidArgument, Scope::kPeer,
                cat("no TLS 1.3 with the other end: ", error.message()))
      .with_hint("use the same transport on both ends; check host and port");
}

class TlsStream : public Stream {
 public:
  TlsStream(asio::ip::tcp::socket socket, std::shared_ptr<ssl::context> context, bool is_dialer)
      : context_(std::move(context)),
        stream_(std::move(socket), *context_),
        is_dialer_(is_dialer) {}

  asio::awaitable<Status> secure() override {
    const auto [error] = co_await stream_.async_handshake(
        is_dialer_ ? ssl::stream_base::client : ssl::stream_base::server, kNoThrow);
    count();
    co_return tls_status(error, tls());
  }

  asio::awaitable<Status> read(ReadBuffers buffers) override {
    const auto [error, num_bytes] = co_await asio::async_read(stream_, buffers, kNoThrow);
    counts_.plain_received += num_bytes;
    count();
    co_return tls_status(error, tls());
  }

  asio::awaitable<Status> write(WriteBuffers buffers) override {
    const auto [error, num_bytes] = co_await asio::async_write(stream_, buffers, kNoThrow);
    counts_.plain_sent += num_bytes;
    count();
    co_return tls_status(error, tls());
  }

  // Without TLS's own closing alert: the goodbye of the session says the same and is confirmed.
  void shut_down_sending() override {
    boost::system::error_code ignored;
    stream_.next_layer().shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
  }
  void close() override {
    boost::system::error_code ignored;
    stream_.next_layer().close(ignored);
  }

  std::string certificate_name() const override {
    X509* certificate = SSL_get0_peer_certificate(tls());
    if (certificate == nullptr) return {};
    char name[128] = {};
    const int length = X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName,
                                                 name, sizeof name);
    return length > 0 ? std::string(name, length) : std::string();
  }

  std::string channel_binding() const override {
    std::string binding(kBindingBytes, '\0');
    SSL_export_keying_material(tls(), reinterpret_cast<unsigned char*>(binding.data()),
                               binding.size(), kExporterLabel, sizeof kExporterLabel - 1, nullptr,
                               0, 0);
    return binding;
  }

 private:
  SSL* tls() const {
    return const_cast<ssl::stream<asio::ip::tcp::socket>&>(stream_).native_handle();
  }

  // OpenSSL's end of asio's memory pipe counts what TLS wrote and read, records and handshake.
  void count() {
    BIO* const pipe = SSL_get_wbio(tls());
    counts_.wire_sent = static_cast<int64_t>(BIO_number_written(pipe));
    counts_.wire_received = static_cast<int64_t>(BIO_number_read(pipe));
  }

  const std::shared_ptr<ssl::context> context_;
  ssl::stream<asio::ip::tcp::socket> stream_;
  const bool is_dialer_;
};

class TlsStreamFactory : public StreamFactory {
 public:
  TlsStreamFactory(std::shared_ptr<ssl::context> context, std::string own_name)
      : context_(std::move(context)), own_name_(std::move(own_name)) {}
  bool is_secure() const override { return true; }
  std::string own_name() const override { return own_name_; }
  std::shared_ptr<Stream> make(asio::ip::tcp::socket socket, bool is_dialer) override {
    return std::make_shared<TlsStream>(std::move(socket), context_, is_dialer);
  }

 private:
  const std::shared_ptr<ssl::context> context_;
  const std::string own_name_;
};

Status credential_error(const char* what, const std::filesystem::path& path,
                        const boost::system::error_code& error) {
  return config_error(cat("cannot use this ", what, ": ", error.message()))
      .at(path.string())
      .with_hint("write a new set with skarv cert");
}

}  // namespace

Result<std::shared_ptr<StreamFactory>> make_tls_stream_factory(const Options& options) {
  if (!options.credentials) {
    return config_error("tls needs credentials").with_hint("write them with skarv cert");
  }
  const Credentials& files = *options.credentials;
  struct stat info;
  if (stat(files.key.c_str(), &info) == 0 && (info.st_mode & 077) != 0) {
    return Status(Code::kPermissionDenied, Scope::kConfig, "others may read this private key")
        .at(files.key.string())
        .with_hint("chmod 600 it");
  }
  SKARV_ASSIGN(const std::string own_name, certificate_name(files.certificate));
  if (!options.name.empty() && options.name != own_name) {
    return config_error(
               cat("the certificate is for '", own_name, "', not for '", options.name, "'"))
        .at(files.certificate.string());
  }
  auto context = std::make_shared<ssl::context>(ssl::context::tls);
  boost::system::error_code error;
  context->load_verify_file(files.ca.string(), error);
  if (error) return credential_error("authority's certificate", files.ca, error);
  context->use_certificate_file(files.certificate.string(), ssl::context::pem, error);
  if (error) return credential_error("certificate", files.certificate, error);
  context->use_private_key_file(files.key.string(), ssl::context::pem, error);
  if (error) return credential_error("private key", files.key, error);

  SSL_CTX* const native = context->native_handle();
  SSL_CTX_set_min_proto_version(native, TLS1_3_VERSION);
  // Tickets come after the handshake; a side that only writes never reads them, and closing with
  // unread bytes resets the connection.
  SSL_CTX_set_num_tickets(native, 0);
  SSL_CTX_set_session_cache_mode(native, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_read_ahead(native, 1);
  context->set_verify_mode(ssl::verify_peer | ssl::verify_fail_if_no_peer_cert);
  return std::shared_ptr<StreamFactory>(
      std::make_shared<TlsStreamFactory>(std::move(context), own_name));
}

}  // namespace skarv::net
