// A message connection between two processes. This is the contract of the room; the transports
// (mem, tcp, tls) differ in nothing that a caller sees but speed and security.
//
// Thread-safe throughout: any number of threads may send and receive at once. Destroying it while a
// call is under way is the caller's mistake.
//
// Failures are final: after the first one every send and every receive returns the same status,
// only that receive first hands out what had arrived whole. Reconnecting makes a new connection.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/status.h"
#include "net/deadline.h"
#include "net/link_attr.h"
#include "net/message.h"

namespace skarv::net {

// Counted since the connection was made, handshake included.
struct Traffic {
  int64_t num_messages_sent = 0;
  int64_t num_messages_received = 0;
  int64_t plain_bytes_sent = 0;  // with framing and heartbeats, before TLS
  int64_t plain_bytes_received = 0;
  int64_t wire_bytes_sent = 0;  // what the sockets took and gave; equals plain without TLS
  int64_t wire_bytes_received = 0;
};

// What the peer says about itself in its heartbeats.
struct PeerProgress {
  uint64_t number = 0;  // the peer's last set_progress
  Time changed_at{};    // own clock, when this number first arrived
};

class Connection {
 public:
  // Aborts: what was sent but not yet taken may be lost. Call close to be sure.
  virtual ~Connection() = default;

  // Queues the message; ok means that it will arrive unless the connection fails, not that it has
  // arrived. Blocks while the lane's window (bytes that the peer's program has not taken yet) is
  // full. Errors: kDeadlineExceeded (nothing was queued), kInvalidArgument (too large),
  // kUnavailable or what else ended the connection.
  virtual Status send(Message message, Lane lane, Deadline deadline) = 0;

  // The next message, control before bulk. Errors: kDeadlineExceeded (nothing came), kUnavailable
  // (the peer closed, died or fell silent), kDataLoss (bytes were damaged on the way).
  virtual Result<Message> receive(Deadline deadline) = 0;

  // Sends what is queued, waits until the peer holds it all, then ends the connection. The peer
  // receives everything, then kUnavailable. What the peer sent and nobody received is dropped. Past
  // the deadline the connection is aborted and the status says so.
  virtual Status close(Deadline deadline) = 0;

  virtual const std::string& peer() const = 0;  // the name in its certificate
  // Ok while usable; else why not.
  virtual Status status() const = 0;
  virtual LinkAttr link() const = 0;
  virtual Traffic traffic() const = 0;

  // A number that rises while this process does useful work. It travels with the heartbeat, so that
  // a peer can tell a process that is stuck from one that is slow; net itself judges only answers.
  virtual void set_progress(uint64_t number) = 0;
  virtual PeerProgress peer_progress() const = 0;
};

struct Refusal {
  std::string dialer;  // its address
  Status reason;
};

// Accepts connections. A dialer that is refused, misbehaves or is slow never disturbs the others.
class Listener {
 public:
  virtual ~Listener() = default;  // closes

  // Errors: kDeadlineExceeded, kCancelled (closed).
  virtual Result<std::unique_ptr<Connection>> accept(Deadline deadline) = 0;

  // Who was refused, and why; the last 64 are kept. Errors as accept.
  virtual Result<Refusal> next_refusal(Deadline deadline) = 0;

  virtual uint16_t port() const = 0;
  virtual const std::string& address() const = 0;  // "127.0.0.1:40123", for connect
  // Stops accepting; accepted connections live on.
  virtual void close() = 0;
};

}  // namespace skarv::net
