// A profile for `skarv plan` and `skarv simulate` from tables of layers (layer_tables.h), for
// models that are built as ours: an embedding, equal blocks, and whatever ends the model as its
// head.
#pragma once

#include "plan/tables/layer_tables.h"
#include "spec/model.h"

namespace skarv {

// `name`: the model's in the tables. What stands behind the blocks (a norm, the projection) is
// added up as the head. Chips get their names of the catalog where the tables give family and
// memory
// ("A100-40"). Error: those of workload_from_tables; another number of blocks, another width or
// context, or blocks that differ in size.
Result<Profile> profile_from_tables(const CsvTable& times, const CsvTable& sizes,
                                    const std::string& name, const Model& model);

// layer_profiles.csv and layer_sizes.csv of a folder.
Result<Profile> profile_from_folder(const std::filesystem::path& folder, const std::string& name,
                                    const Model& model);

}  // namespace skarv
