#include "comm/edges.h"

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <optional>

#include "base/text.h"
#include "device/staging.h"
#include "device/stream.h"

namespace skarv::comm {
namespace {

constexpr uint32_t kTensor = 16;
// A blocked read or write looks this often whether the edges are being torn down.
constexpr Duration kSlice = std::chrono::milliseconds(200);
constexpr Duration kLongestWrite = std::chrono::minutes(10);

Status peer_status(const Status& status, const std::string& context) {
  return Status(status.code(), Scope::kPeer, cat(context, ": ", status.message()))
      .with_hint(status.hint());
}

}  // namespace

struct Edges::Outgoing {
  int to = 0;
  Tag tag;
  at::Tensor tensor;             // undefined: the bytes below
  std::shared_ptr<Event> ready;  // when the device has computed it
  net::Buffer bytes;
};

Edges::Edges(const Roster& roster, const Device& device)
    : roster_(roster),
      device_(device),
      mailbox_(static_cast<int>(roster.names.size())),
      connections_(roster.names.size()) {}

Result<std::unique_ptr<Edges>> Edges::connect(Lobby& lobby, const Roster& roster,
                                              const std::vector<int>& peers, const Device& device,
                                              Time deadline, const std::atomic<bool>& cancelled) {
  std::unique_ptr<Edges> edges(new Edges(roster, device));
  for (int peer : peers) {
    if (peer == roster.rank) continue;
    auto connection = peer < roster.rank
                          ? lobby.dial(roster.addresses[peer], roster.rank, roster.incarnation,
                                       deadline, cancelled)
                          : lobby.await(peer, roster.incarnation, deadline, cancelled);
    if (!connection.ok()) {
      return peer_status(connection.status(),
                         cat(roster.names[roster.rank], " cannot connect to ", roster.names[peer]));
    }
    edges->connections_[peer] = std::move(connection).value();
  }
  Edges* self = edges.get();
  for (int peer = 0; peer < edges->num_ranks(); ++peer) {
    if (edges->connections_[peer]) {
      edges->threads_.emplace_back([self, peer] { self->read_from(peer); });
    }
  }
  edges->threads_.emplace_back([self] { self->write(); });
  return edges;
}

Edges::~Edges() {
  abort(Status(Code::kCancelled, Scope::kPeer, "the connections of the island were torn down"));
  for (std::thread& thread : threads_) thread.join();
}

void Edges::abort(const Status& why) {
  mailbox_.abort(why);
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    queue_.clear();
  }
  changed_.notify_all();
  for (auto& connection : connections_) {
    if (connection) (void)connection->close(net::no_waiting());
  }
}

Status Edges::close(Time deadline) {
  Status status = flush(deadline);
  for (auto& connection : connections_) {
    if (connection && status.ok()) status = connection->close(deadline);
  }
  return status;
}

Status Edges::enqueue(Outgoing outgoing) {
  if (outgoing.to < 0 || outgoing.to >= num_ranks() || !connections_[outgoing.to]) {
    return bug(cat("rank ", roster_.rank, " has no edge to rank ", outgoing.to));
  }
  SKARV_TRY(mailbox_.status(outgoing.to));
  {
    std::lock_guard lock(mutex_);
    if (!stopping_) queue_.push_back(std::move(outgoing));
  }
  changed_.notify_all();
  return Status();
}

Status Edges::send(int to, const Tag& tag, const at::Tensor& tensor) {
  SKARV_ASSIGN(Event event, Event::create(device_));
  SKARV_ASSIGN(Stream stream, Stream::current(device_));
  SKARV_TRY(event.record(stream));
  return enqueue({to, tag, tensor.detach(), std::make_shared<Event>(std::move(event)), {}});
}

Status Edges::send_bytes(int to, const Tag& tag, std::string bytes) {
  return enqueue({to, tag, {}, nullptr, net::Buffer::take(std::move(bytes))});
}

Status Edges::flush(Time deadline) {
  std::unique_lock lock(mutex_);
  const bool empty = changed_.wait_until(
      lock, deadline, [this] { return stopping_ || (queue_.empty() && !writing_); });
  if (stopping_) return Status(Code::kCancelled, Scope::kPeer, "the step was given up");
  if (empty) return Status();
  return Status(Code::kDeadlineExceeded, Scope::kPeer,
                cat(name_of(queue_.empty() ? rank() : queue_.front().to), " does not take ",
                    queue_.size() + 1, " messages of ", name_of(rank())));
}

void Edges::write() {
  (void)device_.make_current();
  // A stream of this thread's own: its copies overlap with what the rank computes next.
  std::optional<StreamScope> scope;
  if (auto stream = Stream::create(device_); stream.ok()) scope.emplace(*stream);
  for (;;) {
    Outgoing outgoing;
    {
      std::unique_lock lock(mutex_);
      writing_ = false;
      changed_.notify_all();
      changed_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
      if (stopping_) return;
      outgoing = std::move(queue_.front());
      queue_.pop_front();
      writing_ = true;
    }
    if (Status status = write_one(outgoing); !status.ok()) {
      mailbox_.fail(outgoing.to, peer_status(status, cat("cannot send to ", name_of(outgoing.to))));
    }
  }
}

Status Edges::write_one(const Outgoing& outgoing) {
  net::Message message{.type = kTensor, .head = encode(outgoing.tag), .body = outgoing.bytes};
  if (outgoing.tensor.defined()) {
    SKARV_TRY(outgoing.ready->synchronize());
    const size_t num_bytes = static_cast<size_t>(num_host_bytes(outgoing.tensor));
    std::shared_ptr<std::byte[]> host = std::make_shared_for_overwrite<std::byte[]>(num_bytes);
    SKARV_TRY(copy_to_host(outgoing.tensor, {host.get(), num_bytes}));
    message.body = net::Buffer::wrap({host.get(), num_bytes}, host);
  }
  const auto num_bytes = static_cast<int64_t>(message.body.size());
  const Time give_up = Clock::real().now() + kLongestWrite;
  for (;;) {
    Status status =
        connections_[outgoing.to]->send(message, net::Lane::kBulk, Clock::real().now() + kSlice);
    if (status.ok()) {
      num_bytes_sent_ += num_bytes;
      return status;
    }
    if (status.code() != Code::kDeadlineExceeded || stopping_ || Clock::real().now() > give_up) {
      return status;
    }
  }
}

void Edges::read_from(int rank) {
  while (!stopping_) {
    auto message = connections_[rank]->receive(Clock::real().now() + kSlice);
    if (!message.ok()) {
      if (message.status().code() == Code::kDeadlineExceeded) continue;
      return mailbox_.fail(rank, peer_status(message.status(), cat(name_of(rank), " is gone")));
    }
    std::optional<Tag> tag = decode_tag(message->head);
    if (message->type != kTensor || !tag) {
      return mailbox_.fail(rank, Status(Code::kDataLoss, Scope::kPeer,
                                        cat(name_of(rank), " sent something that is no tensor")));
    }
    mailbox_.put(rank, *tag, {std::move(message->body), Clock::real().now()});
  }
}

Result<Letter> Edges::take(int from, const Tag& tag, size_t num_bytes, Duration patience) {
  if (from < 0 || from >= num_ranks() || !connections_[from]) {
    return bug(cat("rank ", roster_.rank, " has no edge to rank ", from));
  }
  auto letter = mailbox_.take(from, tag, Clock::real().now() + patience);
  if (!letter.ok()) {
    if (letter.status().code() != Code::kDeadlineExceeded) return letter.status();
    return Status(Code::kDeadlineExceeded, Scope::kPeer,
                  cat(name_of(from), " has not sent the ", to_string(tag), " (",
                      human_bytes(static_cast<double>(num_bytes)), ") for ",
                      fixed(to_seconds(patience), 1), " s"));
  }
  if (letter->body.size() != num_bytes) {
    return Status(Code::kDataLoss, Scope::kPeer,
                  cat(name_of(from), " sent the ", to_string(tag), " with ", letter->body.size(),
                      " bytes instead of ", num_bytes));
  }
  return letter;
}

Result<Time> Edges::receive(int from, const Tag& tag, const at::Tensor& into, Duration patience) {
  SKARV_ASSIGN(Letter letter, take(from, tag, static_cast<size_t>(num_host_bytes(into)), patience));
  SKARV_TRY(copy_from_host(letter.body.span(), into));
  return letter.arrived;
}

Result<std::string> Edges::receive_bytes(int from, const Tag& tag, size_t num_bytes,
                                         Duration patience) {
  SKARV_ASSIGN(Letter letter, take(from, tag, num_bytes, patience));
  return std::string(letter.body.text());
}

}  // namespace skarv::comm
