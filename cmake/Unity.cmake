# With AMEND_UNITY, sources of a target are compiled eight at a time: most of the time of a short source is its headers.
# Names of unnamed namespaces are therefore unique in a layer. CMake 3.25 does this for C++ alone.
set(CMAKE_UNITY_BUILD ${AMEND_UNITY})
set(CMAKE_UNITY_BUILD_BATCH_SIZE 8)

# The CUDA sources that take longer to compile than their headers do, by name in kernels/cuda: each on its own.
set(AMEND_LONG_CUDA_SOURCES edge_embed edge_update edit_features edit_head feature_ablation message_layers probe
  subject_forward edge_update/bf16 edge_update/float32 edge_update/float64 edge_update/tf32)
list(TRANSFORM AMEND_LONG_CUDA_SOURCES REPLACE "(.+)" "${PROJECT_SOURCE_DIR}/kernels/cuda/\\1.cu")

# unity_cuda(<target>): eight at a time of its other sources in kernels/cuda.
function(unity_cuda target)
  if(NOT AMEND_UNITY)
    return()
  endif()
  get_target_property(sources ${target} SOURCES)
  list(FILTER sources INCLUDE REGEX "/kernels/cuda/.*[.]cu$")
  list(REMOVE_ITEM sources ${AMEND_LONG_CUDA_SOURCES})
  list(SORT sources)
  set_source_files_properties(${sources} PROPERTIES HEADER_FILE_ONLY ON)
  while(sources)
    list(SUBLIST sources 0 ${CMAKE_UNITY_BUILD_BATCH_SIZE} batch)
    list(REMOVE_ITEM sources ${batch})
    list(GET batch 0 first)
    list(GET batch -1 last)
    cmake_path(GET first STEM first)
    cmake_path(GET last STEM last)
    list(TRANSFORM batch REPLACE "(.+)" "#include \"\\1\"\n")
    list(JOIN batch "" content)
    set(unit ${CMAKE_CURRENT_BINARY_DIR}/unity/${first}-${last}.cu)
    file(CONFIGURE OUTPUT ${unit} CONTENT "${content}")
    target_sources(${target} PRIVATE ${unit})
  endwhile()
endfunction()
