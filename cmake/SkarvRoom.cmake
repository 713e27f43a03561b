# skarv_room(<name> [LINK ...]): one static library from src/<name>/**.cc, one test program from
# tests/<name>/**_test.cc, one bench program from bench/<name>/**_bench.cc. Rooms link by the law.
include(${CMAKE_CURRENT_LIST_DIR}/layers.cmake)
include(GoogleTest)

function(skarv_room name)
  cmake_parse_arguments(ARG "" "" "LINK;TEST_LINK" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/${name}/*.cc
       ${PROJECT_SOURCE_DIR}/src/${name}/*.h)
  if(NOT sources)
    add_library(skarv_${name} INTERFACE)
    return()
  endif()
  add_library(skarv_${name} STATIC ${sources})
  set_target_properties(skarv_${name} PROPERTIES LINKER_LANGUAGE CXX)
  target_include_directories(skarv_${name} PUBLIC ${PROJECT_SOURCE_DIR}/src)
  target_link_libraries(skarv_${name} PUBLIC skarv_options)
  foreach(other IN LISTS SKARV_MAY_${name})
    target_link_libraries(skarv_${name} PUBLIC skarv_${other})
  endforeach()
  target_link_libraries(skarv_${name} PUBLIC ${ARG_LINK})
  add_dependencies(skarv_${name} skarv_layers)
  skarv_tests(${name} LINK skarv_${name} ${ARG_TEST_LINK})
  file(GLOB_RECURSE benches CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/bench/${name}/*_bench.cc)
  if(benches AND SKARV_BENCH)
    add_executable(skarv_${name}_bench ${benches})
    target_link_libraries(skarv_${name}_bench PRIVATE skarv_${name} benchmark::benchmark_main)
    target_compile_definitions(skarv_${name}_bench PRIVATE SKARV_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  endif()
endfunction()

# skarv_tests(<name> [ALONE] LINK ...): tests/<name>/**_test.cc as one program, each case known to
# ctest. A room with slow cases names them Slow*; they carry the label "slow". ALONE: no other test
# runs beside one of them, as some measure time and others are whole runs with several processes.
# Endurance*: minutes each, in `make test-all`, alone.
function(skarv_tests name)
  cmake_parse_arguments(ARG "ALONE" "" "LINK" ${ARGN})
  file(GLOB_RECURSE tests CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/${name}/*.cc)
  if(tests)
    set(fast_limit 120)
    if(SKARV_SANITIZE)
      set(fast_limit 600)  # seconds; sanitizers take ten times as long
    endif()
    add_executable(skarv_${name}_test ${tests})
    target_include_directories(skarv_${name}_test PRIVATE ${PROJECT_SOURCE_DIR}/tests)
    target_link_libraries(skarv_${name}_test PRIVATE ${ARG_LINK} GTest::gmock GTest::gtest_main)
    target_compile_definitions(skarv_${name}_test PRIVATE SKARV_SOURCE_DIR="${PROJECT_SOURCE_DIR}"
                               SKARV_BINARY_DIR="${PROJECT_BINARY_DIR}")
    gtest_discover_tests(skarv_${name}_test DISCOVERY_MODE PRE_TEST TEST_PREFIX ${name}.
      TEST_FILTER "-*Slow*:*Endurance*" PROPERTIES TIMEOUT ${fast_limit} LABELS fast)
    gtest_discover_tests(skarv_${name}_test DISCOVERY_MODE PRE_TEST TEST_PREFIX ${name}.slow.
      TEST_FILTER "*Slow*" PROPERTIES TIMEOUT 900 LABELS slow RUN_SERIAL ${ARG_ALONE})
    gtest_discover_tests(skarv_${name}_test DISCOVERY_MODE PRE_TEST TEST_PREFIX ${name}.endurance.
      TEST_FILTER "*Endurance*" PROPERTIES TIMEOUT 1800 LABELS endurance RUN_SERIAL TRUE)
  endif()
endfunction()
