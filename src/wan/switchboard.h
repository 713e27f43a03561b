// The connections of one node of the outer protocol: accepted ones and dialled ones, by the name of
// the peer; dialled ones are dialled again whenever they break.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "net/transport.h"

namespace skarv::wan {

// Thread-safe. The callbacks run on its reader threads.
class Switchboard {
 public:
  struct Callbacks {
    std::function<void(const std::string& peer, net::Message message)> received;
    std::function<void(const std::string& peer)> connected;
    std::function<void(const std::string& peer, const Status& why)> lost;
  };
  Switchboard(std::shared_ptr<net::Transport> transport, net::Options options, Callbacks callbacks);
  ~Switchboard() { stop(); }

  // Listens. Error: port in use and the like.
  Status listen(const std::string& address);
  const std::string& address() const { return address_; }  // with the port that it got
  // Keeps a connection to `peer` alive, from now until stop(); another address replaces the first.
  void dial(const std::string& peer, const std::string& address);

  // False: there is no connection, or it does not take the message now. It is lost then; who needs
  // an answer asks again.
  bool send(const std::string& peer, net::Message message, net::Lane lane);
  // Bytes on the sockets, of all connections that ever were.
  net::Traffic traffic() const;
  // Bytes received from the peer on its present connection.
  int64_t received_from(const std::string& peer) const;
  void stop();

 private:
  struct Dialled {
    std::string address;
    std::thread thread;
  };
  void read(const std::string& peer, const std::shared_ptr<net::Connection>& connection);
  void keep_dialled(const std::string& peer);
  void accept_all();

  const std::shared_ptr<net::Transport> transport_;
  const net::Options options_;
  const Callbacks callbacks_;
  std::string address_;
  std::unique_ptr<net::Listener> listener_;
  std::thread acceptor_;
  std::atomic<bool> stopping_ = false;
  mutable std::mutex mutex_;
  std::map<std::string, std::shared_ptr<net::Connection>> connections_;
  std::map<std::string, Dialled> dialled_;
  std::vector<std::thread> readers_;
  net::Traffic past_;  // of connections that are gone
};

}  // namespace skarv::wan
