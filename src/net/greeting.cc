#include "net/greeting.h"

#include "base/text.h"

namespace skarv::net {
namespace asio = boost::asio;
namespace {

asio::awaitable<Status> write_packet(Stream& stream, PacketKind kind, std::string payload) {
  const std::string packet = encode_packet(kind, payload);
  co_return co_await stream.write(from(asio::buffer(packet)));
}

asio::awaitable<Result<std::string>> read_packet(Stream& stream, PacketKind kind,
                                                 std::string* whole) {
  std::string bytes(kPacketHeaderBytes, '\0');
  if (Status status = co_await stream.read(into(asio::buffer(bytes))); !status.ok())
    co_return status;
  const Result<PacketHeader> header = decode_packet_header(bytes);
  if (!header.ok()) co_return header.status();
  std::string payload(header->payload_bytes, '\0');
  if (Status status = co_await stream.read(into(asio::buffer(payload))); !status.ok())
    co_return status;
  if (header->kind == PacketKind::kRefusal) co_return decode_refusal(payload);
  if (header->kind != kind) {
    co_return Status(Code::kDataLoss, Scope::kPeer, "malformed handshake: packets out of order");
  }
  if (whole != nullptr) *whole = bytes + payload;
  co_return payload;
}

// Tells the peer why, then reads until it hangs up: closing with unread bytes would reset the
// connection and take the reason with it. The caller's time limit bounds this too.
asio::awaitable<void> refuse(Stream& stream, Status status) {
  const Status sent = co_await write_packet(stream, PacketKind::kRefusal, encode_refusal(status));
  if (!sent.ok()) co_return;
  stream.shut_down_sending();
  std::array<char, 4096> rest;
  for (int i = 0; i < 4; ++i) {
    const Status read = co_await stream.read(into(asio::buffer(rest)));
    if (!read.ok()) co_return;
  }
}

// Certificate and hello must name the same peer.
Status check_peer(const Stream& stream, const Hello& own, const Hello& peer,
                  const GreetingConfig& config) {
  const std::string certified = stream.certificate_name();
  if (!certified.empty() && certified != peer.name) {
    return Status(Code::kPermissionDenied, Scope::kPeer,
                  cat("'", peer.name, "' shows the certificate of '", certified, "'"));
  }
  return check_hello(own, peer, config.expected_peer);
}

Status check_proof(std::string_view expected, std::string_view proof, const Hello& peer) {
  if (is_equal_proof(expected, proof)) return {};
  return Status(Code::kPermissionDenied, Scope::kPeer,
                cat("the run token of '", peer.name, "' is another one"))
      .with_hint("give both ends the same token file");
}

}  // namespace

asio::awaitable<Result<Hello>> greet(Stream& stream, Side side, Hello own, GreetingConfig config) {
  const Side other = side == Side::kDialer ? Side::kListener : Side::kDialer;
  if (Status status = co_await stream.secure(); !status.ok()) co_return status;

  // Each side's two packets in turn, the dialer first; what differs is only who begins.
  std::string own_hello = encode_packet(PacketKind::kHello, encode(own));
  std::string peer_hello;
  if (side == Side::kDialer) {
    Status status = co_await stream.write(from(asio::buffer(own_hello)));
    if (!status.ok()) co_return status;
  }
  const Result<std::string> payload = co_await read_packet(stream, PacketKind::kHello, &peer_hello);
  if (!payload.ok()) {
    if (payload.status().code() == Code::kFailedPrecondition) {
      co_await refuse(stream, payload.status());
    }
    co_return payload.status();
  }
  const Result<Hello> peer = decode_hello(*payload);
  if (!peer.ok()) co_return peer.status();
  if (Status status = check_peer(stream, own, *peer, config); !status.ok()) {
    co_await refuse(stream, status);
    co_return status;
  }
  const std::string& first = side == Side::kDialer ? own_hello : peer_hello;
  const std::string& second = side == Side::kDialer ? peer_hello : own_hello;
  const Digest hellos = Hasher().add(first).add(second).finish();
  const std::string binding = stream.channel_binding();
  const std::string own_proof = make_proof(config.token, side, hellos, binding);
  const std::string peer_proof = make_proof(config.token, other, hellos, binding);

  if (side == Side::kListener) {
    Status status = co_await stream.write(from(asio::buffer(own_hello)));
    if (!status.ok()) co_return status;
  } else {
    Status status = co_await write_packet(stream, PacketKind::kProof, own_proof);
    if (!status.ok()) co_return status;
  }
  const Result<std::string> proof = co_await read_packet(stream, PacketKind::kProof, nullptr);
  if (!proof.ok()) co_return proof.status();
  if (Status status = check_proof(peer_proof, *proof, *peer); !status.ok()) {
    co_await refuse(stream, status);
    co_return status;
  }
  if (side == Side::kListener) {
    Status status = co_await write_packet(stream, PacketKind::kProof, own_proof);
    if (!status.ok()) co_return status;
  }
  co_return *peer;
}

}  // namespace skarv::net
