# How the fused CPU kernels are compiled: -O3 in every build type, loops marked `omp simd` may
# reassociate their sums, and no other fast-math. Included from the top CMakeLists.txt, because
# source properties belong to the folder that makes the target.
set(folder src/model/kernels)
set(options -O3 -fopenmp-simd -fno-math-errno -fno-trapping-math)
set_source_files_properties(${folder}/portable.cc PROPERTIES COMPILE_OPTIONS "${options}")
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  set_source_files_properties(${folder}/avx2.cc PROPERTIES
    COMPILE_OPTIONS "${options};-mavx2;-mfma")
  set_source_files_properties(${folder}/avx512.cc PROPERTIES
    COMPILE_OPTIONS "${options};-mavx512f;-mavx512dq;-mavx512bw;-mavx512vl;-mfma;-mprefer-vector-width=512")
endif()
