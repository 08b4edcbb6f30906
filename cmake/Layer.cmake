# amend_layer(<folder> [PUBLIC libs...] [PRIVATE libs...] [EXCLUDE files...])
#
# One static library per folder: amend_<folder> (amend_bench_measure for bench/measure), of every .cpp and .cu below it. Folders named cuda are left out of a
# build without CUDA.
function(amend_layer folder)
  cmake_parse_arguments(LAYER "" "" "PUBLIC;PRIVATE;EXCLUDE" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/${folder}/*.cpp
    ${PROJECT_SOURCE_DIR}/${folder}/*.cu)
  foreach(file IN LISTS LAYER_EXCLUDE)
    list(REMOVE_ITEM sources ${PROJECT_SOURCE_DIR}/${file})
  endforeach()
  if(NOT AMEND_CUDA)
    list(FILTER sources EXCLUDE REGEX "/cuda/")
  endif()
  string(REPLACE / _ name ${folder})
  add_library(amend_${name} STATIC ${sources})
  target_include_directories(amend_${name} PUBLIC ${PROJECT_SOURCE_DIR})
  target_link_libraries(amend_${name} PUBLIC ${LAYER_PUBLIC} PRIVATE ${LAYER_PRIVATE} amend_compile_options)
endfunction()
