#include "wan/round/view.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "wan/round/fields.h"

namespace skarv::wan {

int View::index_of(const std::string& name) const {
  for (int i = 0; i < size(); ++i) {
    if (islands[i].name == name) return i;
  }
  return -1;
}

SampleLane View::lane_of(const std::string& name, int64_t steps_per_round) const {
  const auto steps = static_cast<uint64_t>(std::max<int64_t>(1, steps_per_round));
  SampleLane lane{0, 0, 0};
  for (const ViewIsland& island : islands) {
    if (island.name == name) lane.begin = lane.block;
    lane.block += static_cast<uint64_t>(island.samples) * steps;
    if (island.name == name) lane.end = lane.block;
  }
  return lane;
}

int promises_of(int num_islands) { return (num_islands + 1) / 2; }

Json to_json(const View& view) {
  Json islands = Json::array();
  for (const ViewIsland& island : view.islands) {
    islands.push_back(
        {{"name", island.name}, {"uplink", island.uplink}, {"samples", island.samples}});
  }
  return {{"version", view.version}, {"islands", std::move(islands)}};
}

Result<View> view_from_json(const Json& json, const std::string& origin) {
  Fields fields(json, origin);
  View view;
  view.version = fields.integer("version", 1);
  for (const Json& entry : fields.array("islands", kMaxIslands)) {
    Fields island(entry, origin);
    ViewIsland parsed;
    parsed.name = island.text("name", kMaxNameBytes);
    parsed.uplink = island.number("uplink");
    parsed.samples = island.integer("samples", 1, std::numeric_limits<int32_t>::max());
    SKARV_TRY(island.status());
    if (parsed.name.empty() || !std::isfinite(parsed.uplink) || parsed.uplink < 0) {
      return config_error("an island of the view has no name or a wrong uplink").at(origin);
    }
    if (view.index_of(parsed.name) >= 0) {
      return config_error("the view names island " + parsed.name + " twice").at(origin);
    }
    view.islands.push_back(std::move(parsed));
  }
  SKARV_TRY(fields.status());
  if (view.islands.empty()) return config_error("the view has no islands").at(origin);
  return view;
}

}  // namespace skarv::wan
