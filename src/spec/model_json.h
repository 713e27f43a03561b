// The members of a model in a file: shared by the readers of run files and of model JSON.
#pragma once

#include "spec/document.h"
#include "spec/model.h"

namespace skarv {

// Reads the members without checking that they fit together, and without finish().
void read_model_fields(Fields& fields, Model& model);

}  // namespace skarv
