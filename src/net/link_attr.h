// What a path between two processes is able to do: measured by a connection, read by the planner.
#pragma once

namespace skarv::net {

// 0 = not measured yet. Bandwidths are payload bytes that arrived, so they include what TLS, TCP
// and competing traffic cost.
struct LinkAttr {
  double bandwidth_out = 0;  // bytes per second towards the peer, all bulk streams together
  double bandwidth_in = 0;   // bytes per second from the peer
  double round_trip = 0;     // seconds, the smallest of the recent heartbeats
  int num_streams = 0;       // TCP streams of the bulk lane
};

}  // namespace skarv::net
