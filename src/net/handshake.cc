#include "net/handshake.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include <algorithm>

#include "base/text.h"
#include "net/wire.h"

namespace skarv::net {
namespace {

constexpr std::string_view kMagic = "SKARVNET";
constexpr size_t kMaxNameBytes = 128;
constexpr size_t kMaxRefusalBytes = 1024;
constexpr uint16_t kMaxStreams = 17;

template <size_t n>
std::string_view view(const std::array<uint8_t, n>& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), n};
}

template <size_t n>
void read_array(WireReader& reader, std::array<uint8_t, n>& out) {
  const std::string_view bytes = reader.bytes(n);
  std::copy(bytes.begin(), bytes.end(), out.begin());
}

Status malformed(const std::string& what) {
  return Status(Code::kDataLoss, Scope::kPeer, "malformed handshake: " + what);
}

// A guess at what speaks, from its first bytes, because that is what the person at fault needs.
Status not_skarv(std::string_view bytes) {
  // A TLS handshake record, or the alert with which TLS answers plain bytes.
  if (bytes.substr(0, 2) == "\x16\x03" || bytes.substr(0, 2) == "\x15\x03") {
    return Status(Code::kInvalidArgument, Scope::kPeer,
                  "the other end speaks TLS, this one plain TCP")
        .with_hint("use the same transport on both ends");
  }
  std::string shown;
  for (char c : bytes.substr(0, 8)) shown += c >= 0x20 && c < 0x7f ? c : '.';
  return Status(Code::kInvalidArgument, Scope::kPeer,
                cat("the other end is no Skarv: it begins with '", shown, "'"))
      .with_hint("check host and port");
}

}  // namespace

std::string encode_packet(PacketKind kind, std::string_view payload) {
  std::string out(kMagic);
  put_number(out, kWireVersion);
  put_number(out, static_cast<uint16_t>(kind));
  put_number(out, static_cast<uint32_t>(payload.size()));
  out.append(payload);
  return out;
}

Result<PacketHeader> decode_packet_header(std::string_view bytes) {
  WireReader reader(bytes);
  if (reader.bytes(kMagic.size()) != kMagic) return not_skarv(bytes);
  PacketHeader header;
  header.version = reader.number<uint16_t>();
  const auto kind = reader.number<uint16_t>();
  header.payload_bytes = reader.number<uint32_t>();
  if (!reader.at_end()) return malformed("packet header");
  header.kind = static_cast<PacketKind>(kind);
  if (header.version != kWireVersion && header.kind != PacketKind::kRefusal) {
    return Status(Code::kFailedPrecondition, Scope::kPeer,
                  cat("the other end speaks wire version ", header.version, ", this one ",
                      kWireVersion))
        .with_hint("run the same release of Skarv on both ends");
  }
  if (kind < static_cast<uint16_t>(PacketKind::kHello) ||
      kind > static_cast<uint16_t>(PacketKind::kRefusal)) {
    return malformed(cat("packet kind ", kind));
  }
  if (header.payload_bytes > kMaxPacketPayload) {
    return malformed(cat("packet of ", header.payload_bytes, " bytes"));
  }
  return header;
}

std::string encode(const Hello& hello) {
  std::string out;
  put_text(out, hello.run);
  put_text(out, hello.name);
  out.append(view(hello.nonce));
  out.append(view(hello.session));
  put_number(out, hello.stream);
  put_number(out, hello.num_streams);
  put_number(out, hello.max_body_bytes);
  put_number(out, hello.window_bytes);
  return out;
}

Result<Hello> decode_hello(std::string_view payload) {
  WireReader reader(payload);
  Hello hello;
  hello.run = reader.text();
  hello.name = reader.text();
  read_array(reader, hello.nonce);
  read_array(reader, hello.session);
  hello.stream = reader.number<uint16_t>();
  hello.num_streams = reader.number<uint16_t>();
  hello.max_body_bytes = reader.number<uint64_t>();
  hello.window_bytes = reader.number<uint64_t>();
  if (!reader.at_end()) return malformed("hello");
  if (hello.run.size() > kMaxNameBytes || hello.name.size() > kMaxNameBytes) {
    return malformed("name too long");
  }
  return hello;
}

Status check_hello(const Hello& own, const Hello& peer, const std::string& expected_peer) {
  if (peer.run != own.run) {
    return Status(Code::kFailedPrecondition, Scope::kPeer,
                  cat("'", peer.name, "' belongs to run '", peer.run, "', '", own.name,
                      "' to run '", own.run, "'"))
        .with_hint("start both ends with the same run file");
  }
  if (!expected_peer.empty() && peer.name != expected_peer) {
    return Status(
               Code::kPermissionDenied, Scope::kPeer,
               cat("'", expected_peer, "' was expected by '", own.name, "', not '", peer.name, "'"))
        .with_hint("check the address, or the name in the peer's certificate");
  }
  if (peer.name.empty()) {
    return Status(Code::kInvalidArgument, Scope::kPeer, "the other end has no name");
  }
  if (peer.num_streams < 2 || peer.num_streams > kMaxStreams || peer.stream >= peer.num_streams) {
    return malformed(cat("stream ", peer.stream, " of ", peer.num_streams));
  }
  return {};
}

std::string encode_refusal(const Status& status) {
  std::string out;
  put_number(out, static_cast<uint16_t>(status.code()));
  put_text(out, std::string_view(status.message()).substr(0, kMaxRefusalBytes));
  put_text(out, std::string_view(status.hint()).substr(0, kMaxRefusalBytes));
  return out;
}

Status decode_refusal(std::string_view payload) {
  WireReader reader(payload);
  const auto code = reader.number<uint16_t>();
  const std::string message(reader.text());
  const std::string hint(reader.text());
  if (!reader.at_end() || code == 0 || code > static_cast<uint16_t>(Code::kInternal)) {
    return malformed("refusal");
  }
  return Status(static_cast<Code>(code), Scope::kPeer, "refused by the other end: " + message)
      .with_hint(hint);
}

std::string make_proof(std::string_view token, Side side, const Digest& hellos,
                       std::string_view channel_binding) {
  std::string text = side == Side::kDialer ? "skarv dialer" : "skarv listener";
  text += view(hellos.bytes);
  text += channel_binding;
  std::string proof(32, '\0');
  unsigned int length = 0;
  // A null key means "the previous key" to HMAC, so an empty token needs an address all the same.
  const char empty = 0;
  HMAC(EVP_sha256(), token.empty() ? &empty : token.data(), static_cast<int>(token.size()),
       reinterpret_cast<const unsigned char*>(text.data()), text.size(),
       reinterpret_cast<unsigned char*>(proof.data()), &length);
  proof.resize(length);
  return proof;
}

bool is_equal_proof(std::string_view a, std::string_view b) {
  return a.size() == b.size() && !a.empty() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

Status fill_random(uint8_t* out, size_t num_bytes) {
  if (RAND_bytes(out, static_cast<int>(num_bytes)) != 1) {
    return Status(Code::kUnavailable, Scope::kRun, "the system gives no random bytes");
  }
  return {};
}

}  // namespace skarv::net
