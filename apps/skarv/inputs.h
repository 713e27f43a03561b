// What a person hands to several verbs, read and held against each other before anything starts.
#pragma once

#include <filesystem>
#include <string>

#include "data/prepare.h"
#include "spec/cluster.h"
#include "spec/plan.h"
#include "spec/profile.h"
#include "spec/run.h"

namespace skarv {

struct RunInput {
  Run run;  // vocabulary filled in from the data
  DataReport data;
};

// Reads the run file and the data folder it names (`data_folder` wins, if given). Errors name the
// file and the line, or the data folder and what to do.
Result<RunInput> read_run_input(const std::filesystem::path& run_file,
                                const std::string& data_folder = "");

// The profile of this model: a JSON file, or "FOLDER:NAME", the model NAME of the tables in a
// folder (plan/tables/profile_tables.h). Errors name the file.
Result<Profile> read_profile_input(const std::filesystem::path& path, const Model& model);
// A plan that this run and cluster can carry out. Errors name the file and the place in it.
Result<Plan> read_plan_input(const std::filesystem::path& path, const Run& run,
                             const Cluster& cluster);

// Islands may be called as they like: their devices say where they are.
std::string site_of(const Island& island);

// Everything that the coordinator, the agents and the workers of one run share, as one document.
struct Job {
  Run run;
  Cluster cluster;
  Profile profile;
  Plan plan;
};
Json to_json(const Job& job);
Result<Job> job_from_json(const Json& json, const std::string& origin);
Result<Job> read_job(const std::filesystem::path& path);

}  // namespace skarv
