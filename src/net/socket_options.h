// What listener and dialer share: checks of options, settings of sockets, the session's config.
// Includes asio: for .cc files of this room only.
#pragma once

#include <boost/asio/ip/tcp.hpp>

#include "net/handshake.h"
#include "net/runtime.h"
#include "net/session.h"
#include "net/stream.h"
#include "net/transport.h"

namespace skarv::net {

// Errors: kInvalidArgument, naming the option.
Status check_options(const Options& options);

// Plain bytes never leave the machine. Error: kInvalidArgument.
Status check_reach(const StreamFactory& factory, const boost::asio::ip::address& address);

// Small messages at once (TCP_NODELAY), and the second line behind the heartbeat: the kernel gives
// up on bytes that nobody acknowledges (TCP_USER_TIMEOUT).
void set_socket_options(boost::asio::ip::tcp::socket& socket, Duration detection_time);

// The own hello, without session, stream and nonce.
Hello make_hello(const StreamFactory& factory, const Options& options);

SessionConfig make_session_config(const Options& options, const Hello& peer);

// A session behind the Connection interface; aborts it when destroyed.
std::unique_ptr<Connection> make_connection(std::shared_ptr<Runtime> runtime,
                                            std::shared_ptr<Session> session);

std::string to_text(const boost::asio::ip::tcp::endpoint& endpoint);

}  // namespace skarv::net
