#include "inputs.h"

#include "base/file.h"
#include "base/text.h"
#include "plan/tables/profile_tables.h"

namespace skarv {

namespace {

// An origin inside a file ("islands[0].pipelines") gets the file before it.
Status in_file(const Status& status, const std::filesystem::path& path) {
  if (status.origin().empty()) return status.at(path.string());
  return status.at(cat(path.string(), ": ", status.origin()));
}

}  // namespace

Result<RunInput> read_run_input(const std::filesystem::path& run_file,
                                const std::string& data_folder) {
  RunInput input;
  SKARV_ASSIGN(input.run, read_run(run_file));
  if (!data_folder.empty()) input.run.data.folder = data_folder;
  const std::string& folder = input.run.data.folder;
  if (folder.empty()) {
    return config_error("data.folder is missing: where are the tokens?")
        .at(run_file.string())
        .with_hint("make them with `skarv data`, then write [data] folder = \"...\"");
  }
  auto data = load_data(folder);
  if (!data.ok()) {
    return data.status()
        .wrap(cat("data.folder of ", run_file.string()))
        .with_hint("make it with: skarv data CORPUS --out " + folder);
  }
  input.data = std::move(*data);
  Model& model = input.run.model;
  if (model.vocabulary == 0) model.vocabulary = input.data.vocabulary_size;
  if (model.vocabulary < input.data.vocabulary_size) {
    return config_error(cat("model.vocabulary is ", model.vocabulary, ", the tokens of ", folder,
                            " need ", input.data.vocabulary_size))
        .at(run_file.string())
        .with_hint("leave model.vocabulary out: it is taken from the data");
  }
  SKARV_TRY(check_model(model, run_file.string()));
  return input;
}

Result<Profile> read_profile_input(const std::filesystem::path& path, const Model& model) {
  constexpr char kMeasure[] = "measure again: skarv probe";
  const std::string text = path.string();
  if (const size_t colon = text.rfind(':'); colon != std::string::npos) {
    const std::filesystem::path folder = text.substr(0, colon);
    if (std::filesystem::is_directory(folder)) {
      return profile_from_folder(folder, text.substr(colon + 1), model);
    }
  }
  auto profile = read_profile(path);
  if (!profile.ok()) {
    const Status& why = profile.status();
    return why.hint().empty() || why.code() == Code::kNotFound ? why.with_hint(kMeasure) : why;
  }
  const std::string digest = digest_of(model).hex();
  if (!profile->model.empty() && profile->model != digest) {
    return config_error(cat("the profile was measured for the model ", profile->model.substr(0, 12),
                            ", this is ", digest.substr(0, 12)))
        .at(path.string())
        .with_hint(kMeasure);
  }
  return profile;
}

Result<Plan> read_plan_input(const std::filesystem::path& path, const Run& run,
                             const Cluster& cluster) {
  SKARV_ASSIGN(Plan plan, read_plan(path));
  if (const Status why = check_plan(plan, run.model, run, cluster); !why.ok()) {
    return in_file(why, path);
  }
  return plan;
}

std::string site_of(const Island& island) {
  return split(island.pipelines.front().stages.front().devices.front(), '/').front();
}

Json to_json(const Job& job) {
  return {{"version", 1},
          {"run", to_json(job.run)},
          {"cluster", to_json(job.cluster)},
          {"profile", to_json(job.profile)},
          {"plan", to_json(job.plan)}};
}

Result<Job> job_from_json(const Json& json, const std::string& origin) {
  for (const char* part : {"run", "cluster", "profile", "plan"}) {
    if (!json.is_object() || !json.contains(part)) {
      return config_error(cat("no '", part, "' in it"))
          .at(origin)
          .with_hint("it is written by `skarv train`");
    }
  }
  Job job;
  SKARV_ASSIGN(job.run, run_from_json(json["run"], origin));
  SKARV_ASSIGN(job.cluster, cluster_from_json(json["cluster"], origin));
  SKARV_ASSIGN(job.profile, profile_from_json(json["profile"], origin));
  SKARV_ASSIGN(job.plan, plan_from_json(json["plan"], origin));
  if (const Status why = check_plan(job.plan, job.run.model, job.run, job.cluster); !why.ok()) {
    return in_file(why, origin);
  }
  return job;
}

Result<Job> read_job(const std::filesystem::path& path) {
  auto json = read_json(path);
  if (!json.ok()) {
    return json.status().code() == Code::kNotFound
               ? json.status().with_hint("it is written by `skarv train`")
               : json.status();
  }
  return job_from_json(*json, path.string());
}

}  // namespace skarv
