# Finds libtorch inside the Python wheel and offers SkarvTorch::torch.
#   SKARV_PYTHON: the interpreter that has the wheel (default: .venv of the repository, else python3).
# Not find_package(Torch): the CUDA wheel's own config demands nvcc and a whole toolkit. Linking with
# --allow-shlib-undefined lets the same objects serve the CPU, CUDA and ROCm wheels of one version:
# libtorch.so brings its device library in by itself.
set(SKARV_TORCH_OLDEST 2.11)
set(SKARV_TORCH_NEWEST 2.15)
if(NOT SKARV_PYTHON)
  if(EXISTS ${PROJECT_SOURCE_DIR}/.venv/bin/python)
    set(SKARV_PYTHON ${PROJECT_SOURCE_DIR}/.venv/bin/python)
  else()
    set(SKARV_PYTHON python3)
  endif()
endif()
execute_process(
  COMMAND ${SKARV_PYTHON} -c
    "import importlib.util as u, os; s = u.find_spec('torch'); print(os.path.dirname(s.origin) if s else '')"
  OUTPUT_VARIABLE SKARV_TORCH_ROOT OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE failed)
if(failed OR NOT SKARV_TORCH_ROOT)
  message(FATAL_ERROR "no torch wheel found by ${SKARV_PYTHON}.\n"
    "  Run `make setup`, or pass -DSKARV_PYTHON=<python that has torch>, or build without: cmake --preset core")
endif()
file(STRINGS ${SKARV_TORCH_ROOT}/include/torch/headeronly/version.h lines REGEX "define TORCH_VERSION_(MAJOR|MINOR|PATCH) ")
foreach(part MAJOR MINOR PATCH)
  string(REGEX MATCH "TORCH_VERSION_${part} ([0-9]+)" _ "${lines}")
  set(SKARV_TORCH_${part} ${CMAKE_MATCH_1})
endforeach()
set(SKARV_TORCH_VERSION ${SKARV_TORCH_MAJOR}.${SKARV_TORCH_MINOR}.${SKARV_TORCH_PATCH})
if(SKARV_TORCH_VERSION VERSION_LESS ${SKARV_TORCH_OLDEST} OR
   "${SKARV_TORCH_MAJOR}.${SKARV_TORCH_MINOR}" VERSION_GREATER ${SKARV_TORCH_NEWEST})
  message(FATAL_ERROR "torch ${SKARV_TORCH_VERSION} in ${SKARV_TORCH_ROOT} is outside "
    "${SKARV_TORCH_OLDEST} to ${SKARV_TORCH_NEWEST}: install torch==2.13.0 (make setup does)")
endif()
message(STATUS "libtorch ${SKARV_TORCH_VERSION}: ${SKARV_TORCH_ROOT}")

add_library(SkarvTorch::torch INTERFACE IMPORTED GLOBAL)
set(lib ${SKARV_TORCH_ROOT}/lib)
set_target_properties(SkarvTorch::torch PROPERTIES
  INTERFACE_INCLUDE_DIRECTORIES
    "${SKARV_TORCH_ROOT}/include;${SKARV_TORCH_ROOT}/include/torch/csrc/api/include"
  INTERFACE_COMPILE_OPTIONS "-fopenmp"
  INTERFACE_LINK_OPTIONS
    "LINKER:--allow-shlib-undefined;LINKER:-rpath,${lib};LINKER:--push-state,--no-as-needed;${lib}/libtorch.so;${lib}/libtorch_cpu.so;${lib}/libc10.so;LINKER:--pop-state"
  INTERFACE_LINK_LIBRARIES "gomp")
set(SkarvTorch_FOUND TRUE)
