#include <set>

#include "base/file.h"
#include "base/text.h"
#include "spec/cluster.h"
#include "spec/document.h"
#include "spec/name.h"

namespace skarv {
namespace {

constexpr int64_t kMaxDevices = 1 << 20;
constexpr int64_t kMaxCount = 1 << 16;
constexpr double kLongestDelay = 3600;  // seconds: times of a step stay in 63 bits of nanoseconds
constexpr double kLeastPace = 1e-6;     // likewise

void read_devices(Fields& fields, const std::filesystem::path& folder, HostGroup& host) {
  for (Fields& member : fields.objects("devices")) {
    DeviceGroup group;
    member.text("chip", group.chip);
    member.integer("count", group.count, 1, kMaxCount);
    member.bytes("memory", group.memory_bytes);
    member.number("pace", group.pace, 0, 1000);
    if (group.pace > 0 && group.pace < kLeastPace) {
      member.fail("pace", cat("pace ", group.pace, " is below a millionth of a core"),
                  "write a share such as 0.5, or leave it out for full speed");
    }
    member.text("plugin", group.plugin);
    member.require({"chip"});
    member.finish();
    if (!group.plugin.empty()) group.plugin = (folder / group.plugin).lexically_normal().string();
    if (const Result<Chip> chip = find_chip(group.chip); !chip.ok()) {
      member.fail("chip", chip.status().message(), chip.status().hint());
    }
    host.devices.push_back(std::move(group));
  }
}

HostGroup read_host(Fields& fields, const std::filesystem::path& folder) {
  HostGroup host;
  fields.text("name", host.name);
  fields.integer("count", host.count, 1, kMaxCount);
  fields.bytes("memory", host.memory_bytes);
  fields.quantity("bandwidth", host.network_bandwidth, Quantity::kBytesPerSecond);
  fields.quantity("latency", host.network_latency, Quantity::kSeconds);
  read_devices(fields, folder, host);
  fields.require({"name", "devices"});
  fields.finish();
  return host;
}

Site read_site(Fields& fields, const std::filesystem::path& folder) {
  Site site;
  fields.text("name", site.name);
  fields.quantity("uplink", site.uplink_bandwidth, Quantity::kBytesPerSecond);
  for (Fields& host : fields.objects("host")) site.hosts.push_back(read_host(host, folder));
  fields.require({"name", "host"});
  fields.finish();
  return site;
}

Link read_link(Fields& fields) {
  Link link;
  fields.text("from", link.from);
  fields.text("to", link.to);
  fields.quantity("bandwidth", link.bandwidth, Quantity::kBytesPerSecond);
  fields.quantity("round_trip", link.round_trip, Quantity::kSeconds);
  fields.quantity("loss", link.loss, Quantity::kFraction);
  fields.quantity("jitter", link.jitter, Quantity::kSeconds);
  fields.require({"from", "to", "bandwidth", "round_trip"});
  fields.finish();
  return link;
}

MaybeProblem problem_of_delay(std::string path, double seconds) {
  if (seconds <= kLongestDelay) return std::nullopt;
  return Problem{std::move(path), cat(seconds, " s is more than an hour"),
                 "write a time such as \"20 ms\""};
}

MaybeProblem problem_of_site(const Site& site, const std::string& path) {
  if (MaybeProblem problem = problem_of_site_name(path + ".name", site.name)) return problem;
  std::set<std::string> names;
  for (size_t i = 0; i < site.hosts.size(); ++i) {
    const HostGroup& host = site.hosts[i];
    const std::string where = cat(path, ".host[", i, "]");
    if (MaybeProblem problem = problem_of_name(where + ".name", "a host", host.name)) {
      return problem;
    }
    if (MaybeProblem problem = problem_of_delay(where + ".latency", host.network_latency)) {
      return problem;
    }
    for (int number = 0; number < host.count; ++number) {
      const std::string name = host.count == 1 ? host.name : cat(host.name, number);
      if (!names.insert(name).second) {
        return Problem{where + ".name", cat("the site has two hosts named ", name),
                       "give every host its own name"};
      }
    }
  }
  return std::nullopt;
}

MaybeProblem problem_of_link(const Cluster& cluster, size_t index) {
  const Link& link = cluster.links[index];
  const std::string path = cat("link[", index, "]");
  std::vector<std::string> names;
  for (const Site& site : cluster.sites) names.push_back(site.name);
  for (const auto& [key, end] : {std::pair("from", link.from), std::pair("to", link.to)}) {
    if (cluster.find_site(end) == nullptr) {
      const std::string near = nearest_name(end, names);
      return Problem{cat(path, ".", key), cat("no site is named \"", end, "\""),
                     near.empty() ? "name a site of this file" : cat("did you mean ", near, "?")};
    }
  }
  if (link.from == link.to) {
    return Problem{path + ".to", cat("the link leads from ", link.from, " to itself"),
                   "links join two sites"};
  }
  if (cluster.find_link(link.from, link.to) != &link) {
    return Problem{path, cat("a second link between ", link.from, " and ", link.to),
                   "links work both ways: keep one"};
  }
  if (!(link.bandwidth > 0)) {
    return Problem{path + ".bandwidth", "the bandwidth is 0",
                   "leave the link out or give its rate"};
  }
  if (MaybeProblem problem = problem_of_delay(path + ".round_trip", link.round_trip)) {
    return problem;
  }
  if (MaybeProblem problem = problem_of_delay(path + ".jitter", link.jitter)) return problem;
  if (!(link.loss < 1)) {
    return Problem{path + ".loss", cat("loss ", link.loss, " is not below 1"),
                   "write a fraction such as 0.001 or \"0.1 %\""};
  }
  return std::nullopt;
}

Result<Cluster> read_document(Document document, const std::filesystem::path& folder) {
  Fields fields = Fields::of(document);
  Cluster cluster;
  for (Fields& site : fields.objects("site")) cluster.sites.push_back(read_site(site, folder));
  for (Fields& link : fields.objects("link")) cluster.links.push_back(read_link(link));
  fields.require({"site"});
  fields.finish();
  if (document.ok()) {
    if (const MaybeProblem problem = problem_of(cluster)) document.fail(*problem);
  }
  if (!document.ok()) return document.status();
  return cluster;
}

}  // namespace

MaybeProblem problem_of(const Cluster& cluster) {
  if (cluster.num_devices() > kMaxDevices) {
    return Problem{
        "site", cat("the cluster has ", cluster.num_devices(), " devices, more than ", kMaxDevices),
        "check the counts"};
  }
  std::set<std::string> names;
  for (size_t i = 0; i < cluster.sites.size(); ++i) {
    const std::string path = cat("site[", i, "]");
    if (MaybeProblem problem = problem_of_site(cluster.sites[i], path)) return problem;
    if (!names.insert(cluster.sites[i].name).second) {
      return Problem{path + ".name", cat("a second site named ", cluster.sites[i].name),
                     "give every site its own name"};
    }
  }
  for (size_t i = 0; i < cluster.links.size(); ++i) {
    if (MaybeProblem problem = problem_of_link(cluster, i)) return problem;
  }
  return std::nullopt;
}

Result<Cluster> parse_cluster(const std::string& toml, const std::string& origin) {
  SKARV_ASSIGN(Document document, Document::from_toml(toml, origin));
  return read_document(std::move(document), std::filesystem::path(origin).parent_path());
}

Result<Cluster> read_cluster(const std::filesystem::path& path) {
  SKARV_ASSIGN(const std::string text, read_file(path));
  return parse_cluster(text, path.string());
}

Result<Cluster> cluster_from_json(const Json& json, const std::string& origin) {
  return read_document(Document::from_json(json, origin), {});  // paths are resolved already
}

Json to_json(const Cluster& cluster) {
  Json sites = Json::array();
  for (const Site& site : cluster.sites) {
    Json hosts = Json::array();
    for (const HostGroup& host : site.hosts) {
      Json devices = Json::array();
      for (const DeviceGroup& group : host.devices) {
        devices.push_back({{"chip", group.chip},
                           {"count", group.count},
                           {"memory", group.memory_bytes},
                           {"pace", group.pace},
                           {"plugin", group.plugin}});
      }
      hosts.push_back({{"name", host.name},
                       {"count", host.count},
                       {"memory", host.memory_bytes},
                       {"bandwidth", host.network_bandwidth},
                       {"latency", host.network_latency},
                       {"devices", std::move(devices)}});
    }
    sites.push_back(
        {{"name", site.name}, {"uplink", site.uplink_bandwidth}, {"host", std::move(hosts)}});
  }
  Json links = Json::array();
  for (const Link& link : cluster.links) {
    links.push_back({{"from", link.from},
                     {"to", link.to},
                     {"bandwidth", link.bandwidth},
                     {"round_trip", link.round_trip},
                     {"loss", link.loss},
                     {"jitter", link.jitter}});
  }
  return {{"site", std::move(sites)}, {"link", std::move(links)}};
}

}  // namespace skarv
