// The cluster file (TOML): sites, hosts, devices, and the links between sites.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "spec/chip.h"

namespace skarv {

// A group of equal devices of a host; device names are "site/host/index", indices run through the
// host's groups.
struct DeviceGroup {
  std::string chip;  // of the catalog
  int count = 1;
  int64_t memory_bytes = 0;  // usable; 0: the catalog's figure
  double pace = 0;           // > 0: emulate this share of a core (demo, tests); printed as "paced"
  std::string plugin;        // path of a PrivateUse1 plug-in to load into its worker
};

// `count` equal hosts: "a" for one, "a0".."a15" for sixteen.
struct HostGroup {
  std::string name;
  int count = 1;
  int64_t memory_bytes = 0;
  double network_bandwidth = 0;  // bytes/s of all its NICs together, one way
  double network_latency = 0;    // seconds, one way
  std::vector<DeviceGroup> devices;
};

struct Site {
  std::string name;
  double uplink_bandwidth = 0;  // bytes/s, shared by all links of the site; 0: not limited
  std::vector<HostGroup> hosts;
};

struct Link {
  std::string from, to;   // sites; it works both ways
  double bandwidth = 0;   // bytes/s each way
  double round_trip = 0;  // seconds
  double loss = 0;        // fraction of packets
  double jitter = 0;      // seconds
};

struct Cluster {
  std::vector<Site> sites;
  std::vector<Link> links;

  int64_t num_devices() const;
  const Site* find_site(const std::string& name) const;
  // Nullptr when the two sites have no link.
  const Link* find_link(const std::string& a, const std::string& b) const;
};

// One device, expanded from its groups.
struct DeviceInfo {
  std::string name;  // "site/host/index"
  std::string site, host;
  int index = 0;    // in its host
  int ordinal = 0;  // in its host among the devices of its maker or plug-in: 1 of "cuda:1"
  Chip chip;
  int64_t memory_bytes = 0;
  double pace = 0;
  std::string plugin;
};

// "site" and "site/host" of a device's name.
inline std::string site_of(const std::string& device) { return device.substr(0, device.find('/')); }
inline std::string host_of(const std::string& device) {
  return device.substr(0, device.rfind('/'));
}

// All devices in file order.
Result<std::vector<DeviceInfo>> expand_devices(const Cluster& cluster);

Result<Cluster> read_cluster(const std::filesystem::path& path);
Result<Cluster> parse_cluster(const std::string& toml, const std::string& origin);
Json to_json(const Cluster& cluster);
Result<Cluster> cluster_from_json(const Json& json, const std::string& origin);

}  // namespace skarv
