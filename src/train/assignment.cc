#include "train/assignment.h"

#include "base/text.h"

namespace skarv::train {

Result<std::shared_ptr<const Assignment>> Assignment::create(Run run, Plan plan, Profile profile,
                                                             Schedule schedule,
                                                             const std::string& island_name,
                                                             int rank) {
  SKARV_TRY(check_model(run.model, "run of the agent"));
  const Island* found = plan.find_island(island_name);
  if (found == nullptr) return config_error(cat("the plan has no island ", island_name));
  const Island island = *found;
  for (const Pipeline& pipeline : island.pipelines) {
    for (const Stage& stage : pipeline.stages) {
      if (stage.devices.size() != 1) {
        return config_error(cat("stage of layers [", stage.first, ", ", stage.last, ") has ",
                                stage.devices.size(),
                                " devices: this worker computes a stage "
                                "on one"))
            .with_hint("set tensor_parallel to 1 and cut the layers into more stages");
      }
    }
  }
  SlabTable table(run.model, run.exchange.num_fragments);
  Ownership ownership = ownership_of(island, plan, table);
  if (rank < 0 || rank >= static_cast<int>(ownership.devices.size())) {
    return config_error(cat("island ", island_name, " has no rank ", rank));
  }
  if (schedule.devices != ownership.devices) {
    return config_error(cat("the schedule is not for the devices of island ", island_name));
  }
  SKARV_TRY(check_schedule(schedule, island, ownership));
  return std::shared_ptr<const Assignment>(
      new Assignment{std::move(run), std::move(plan), std::move(profile), std::move(schedule),
                     island, rank, std::move(table), std::move(ownership), StageMap(island)});
}

Result<std::shared_ptr<const Assignment>> Assignment::create(const handoff::Assign& assign) {
  SKARV_ASSIGN(Run run, run_from_json(assign.run, "run of the agent"));
  SKARV_ASSIGN(Plan plan, plan_from_json(assign.plan, "plan of the agent"));
  SKARV_ASSIGN(Profile profile, profile_from_json(assign.profile, "profile of the agent"));
  SKARV_ASSIGN(Schedule schedule, schedule_from_json(assign.schedule, "schedule of the agent"));
  SKARV_ASSIGN(auto shared, create(std::move(run), std::move(plan), std::move(profile),
                                   std::move(schedule), assign.island, assign.rank));
  auto result = std::make_shared<Assignment>(*shared);
  result->chip = assign.chip;
  result->maker = assign.maker;
  result->pace = assign.pace;
  result->trace = assign.trace;
  return std::shared_ptr<const Assignment>(std::move(result));
}

bool Assignment::is_local(int pipeline, int stage) const {
  return stage >= 0 && stage < stages.num_stages(pipeline) && stages.sits_in(rank, pipeline, stage);
}

}  // namespace skarv::train
