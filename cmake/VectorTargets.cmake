# vector_targets(<target>)
#
# Compiles kernels/cpu/vector/target.cpp into the target once for every instruction set of AMEND_VECTOR_TARGETS, and a
# list of them for kernels/cpu/vector/functions.cpp. The last one is what every processor of the architecture has.
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|amd64|AMD64")
  set(AMEND_VECTOR_TARGETS "x86-64-v4;x86-64-v3;x86-64" CACHE STRING
    "Instruction sets of the CPU kernels' inner loops, the best first (-march of g++ and clang); native: this machine's")
else()
  set(AMEND_VECTOR_TARGETS "baseline" CACHE STRING "Instruction sets of the CPU kernels' inner loops")
endif()

function(vector_targets target)
  set(folder ${CMAKE_CURRENT_BINARY_DIR}/vector)
  set(list "")
  foreach(march IN LISTS AMEND_VECTOR_TARGETS)
    string(MAKE_C_IDENTIFIER "${march}" name)
    set(supported "__builtin_cpu_supports(\"${march}\")")
    if(march MATCHES "^(native|baseline|x86-64)$")
      set(supported true)
    endif()
    string(APPEND list "AMEND_VECTOR(${name}_target, ${supported})\n")
    set(source ${folder}/${name}.cpp)
    file(CONFIGURE OUTPUT ${source} CONTENT "#define AMEND_VECTOR_TARGET ${name}_target
#define AMEND_VECTOR_NAME \"${march}\"
#include \"kernels/cpu/vector/target.cpp\"
")
    target_sources(${target} PRIVATE ${source})
    set(options -O2)  # -O3 makes it larger, not faster
    if(AMEND_SANITIZE)
      set(options -O0)  # the sanitizers take minutes to optimise what is inlined here
    endif()
    if(NOT march STREQUAL "baseline")
      list(APPEND options -march=${march})
    endif()
    set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS "${options}")
  endforeach()
  file(CONFIGURE OUTPUT ${folder}/list.inc CONTENT "${list}")
  set_source_files_properties(${PROJECT_SOURCE_DIR}/kernels/cpu/vector/functions.cpp PROPERTIES
    INCLUDE_DIRECTORIES ${folder} OBJECT_DEPENDS ${folder}/list.inc)
endfunction()
