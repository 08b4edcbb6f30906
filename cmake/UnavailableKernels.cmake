# unavailable_kernels(<target>)
#
# Adds to the target a source with a stub that throws for every kernel without a CUDA twin: callers link, and a call says
# what is missing. The twins of kernels/<stem>.hpp are in kernels/cuda/<stem>.cu; a build without CUDA has none.
function(unavailable_kernels target)
  file(GLOB headers CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/kernels/*.hpp)
  file(GLOB twins CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/kernels/cuda/*.cu)
  set(includes "")
  set(stubs "")
  foreach(header IN LISTS headers)
    get_filename_component(stem ${header} NAME_WE)
    if(AMEND_CUDA AND ${PROJECT_SOURCE_DIR}/kernels/cuda/${stem}.cu IN_LIST twins)
      continue()
    endif()
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${header})
    file(STRINGS ${header} declarations REGEX "^AMEND_DECLARE_KERNEL\\(")
    if(declarations)
      string(APPEND includes "#include \"kernels/${stem}.hpp\"\n")
    endif()
    foreach(declaration IN LISTS declarations)
      string(REGEX REPLACE "^AMEND_DECLARE_KERNEL\\(([a-z0-9_]+), ([A-Za-z0-9]+)\\).*" "\\1;\\2" parts "${declaration}")
      list(GET parts 0 name)
      list(GET parts 1 args)
      string(APPEND stubs "void ${name}(const ${args}&, Stream) { unavailable(\"${name}\"); }\n")
    endforeach()
  endforeach()
  set(source ${CMAKE_CURRENT_BINARY_DIR}/unavailable_kernels.cpp)
  file(GENERATE OUTPUT ${source} CONTENT "#include \"kernels/kernel.hpp\"
${includes}
namespace amend::kernels::cuda {

[[noreturn]] [[maybe_unused]] static void unavailable(const char* name) {
  fail(name, \"this build of amend has no CUDA twin of this kernel\");
}

${stubs}
}  // namespace amend::kernels::cuda
")
  target_sources(${target} PRIVATE ${source})
endfunction()
