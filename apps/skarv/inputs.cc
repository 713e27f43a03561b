#include "inputs.h"

#include "base/file.h"
#include "base/text.h"

namespace skarv {

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
  SKARV_TRY(check_plan(job.plan, job.run.model, job.run, job.cluster).wrap(origin));
  return job;
}

Result<Job> read_job(const std::filesystem::path& path) {
  SKARV_ASSIGN(const Json json, read_json(path));
  return job_from_json(json, path.string());
}

}  // namespace skarv
