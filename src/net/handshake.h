// The first words on every stream: who speaks, for which run, with which token. Four packets,
// dialer first: hello, hello, proof, proof; a refusal may come instead of any of them. Pure
// functions; the coroutines that carry the packets are in greeting.cc.
//
//   packet: magic "SKARVNET", u16 wire version, u16 kind, u32 length, payload
//
// Magic, version and kind keep their place in every future version, so that two versions can tell
// each other apart. A proof is HMAC-SHA256(token, side, hash of both hellos, channel binding): the
// hellos hold fresh nonces, the binding is the TLS exporter value (empty without TLS), so a proof
// is of no use on another connection.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/digest.h"
#include "base/status.h"

namespace skarv::net {

inline constexpr uint16_t kWireVersion = 1;
inline constexpr size_t kPacketHeaderBytes = 16;
inline constexpr size_t kMaxPacketPayload = 4096;

enum class PacketKind : uint16_t { kHello = 1, kProof = 2, kRefusal = 3 };

struct PacketHeader {
  uint16_t version = kWireVersion;
  PacketKind kind = PacketKind::kHello;
  uint32_t payload_bytes = 0;
};

std::string encode_packet(PacketKind kind, std::string_view payload);
// Errors: kInvalidArgument (no Skarv: says what the bytes look like), kFailedPrecondition (another
// wire version; refusals of any version are let through), kDataLoss (length).
Result<PacketHeader> decode_packet_header(std::string_view bytes);

using SessionId = std::array<uint8_t, 16>;
using Nonce = std::array<uint8_t, 32>;

struct Hello {
  std::string run, name;
  Nonce nonce{};
  SessionId session{};       // all streams of a connection name the same; chosen by the dialer
  uint16_t stream = 0;       // 0: control, then the bulk streams
  uint16_t num_streams = 0;  // control included
  uint64_t max_body_bytes = 0;
  uint64_t window_bytes = 0;
};
std::string encode(const Hello& hello);
Result<Hello> decode_hello(std::string_view payload);

// Is the peer's hello what this end can work with? Run, name, bounds. `own` is this end's hello.
// Errors: kFailedPrecondition, kPermissionDenied, kInvalidArgument.
Status check_hello(const Hello& own, const Hello& peer, const std::string& expected_peer);

// Refusals carry code and text, so that both ends say the same.
std::string encode_refusal(const Status& status);
Status decode_refusal(std::string_view payload);

enum class Side : uint8_t { kDialer, kListener };
std::string make_proof(std::string_view token, Side side, const Digest& hellos,
                       std::string_view channel_binding);
// In constant time.
bool is_equal_proof(std::string_view a, std::string_view b);

// Filled by the operating system's generator. Error: kUnavailable.
Status fill_random(uint8_t* out, size_t num_bytes);

}  // namespace skarv::net
