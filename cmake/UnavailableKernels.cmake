# What follows from which kernels have a CUDA twin: the twins of kernels/<stem>.hpp are in kernels/cuda/<stem>.cu.

# kernel_declarations(<header> <out>): the kernels of a header as a list of `name,Args`.
function(kernel_declarations header out)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${header})
  file(STRINGS ${header} declarations REGEX "^AMEND_DECLARE_KERNEL\\(")
  list(TRANSFORM declarations REPLACE "^AMEND_DECLARE_KERNEL\\(([a-z0-9_]+), ([A-Za-z0-9]+)\\).*" "\\1,\\2")
  set(${out} ${declarations} PARENT_SCOPE)
endfunction()

# kernel_headers(<with> <without>): the headers that declare kernels, by whether their twin is there.
function(kernel_headers with without)
  file(GLOB headers CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/kernels/*.hpp)
  file(GLOB twins CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/kernels/cuda/*.cu)
  set(have "")
  set(lack "")
  foreach(header IN LISTS headers)
    kernel_declarations(${header} declarations)
    get_filename_component(stem ${header} NAME_WE)
    if(NOT declarations)
      continue()
    elseif(${PROJECT_SOURCE_DIR}/kernels/cuda/${stem}.cu IN_LIST twins)
      list(APPEND have ${header})
    else()
      list(APPEND lack ${header})
    endif()
  endforeach()
  set(${with} ${have} PARENT_SCOPE)
  set(${without} ${lack} PARENT_SCOPE)
endfunction()

# unavailable_kernels(<target>)
#
# Adds to the target a source with a stub that throws for every kernel without a CUDA twin: callers link, and a call says
# what is missing. A build without CUDA has no twins.
function(unavailable_kernels target)
  kernel_headers(with without)
  if(NOT AMEND_CUDA)
    list(APPEND without ${with})
  endif()
  set(includes "")
  set(stubs "")
  foreach(header IN LISTS without)
    get_filename_component(stem ${header} NAME_WE)
    string(APPEND includes "#include \"kernels/${stem}.hpp\"\n")
    kernel_declarations(${header} declarations)
    foreach(declaration IN LISTS declarations)
      string(REGEX REPLACE "(.*),(.*)" "void \\1(const \\2&, Stream) { unavailable(\"\\1\"); }\n" stub ${declaration})
      string(APPEND stubs "${stub}")
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

# missing_twins(<target>): adds the source behind engine/cuda/missing_twins.hpp.
function(missing_twins target)
  kernel_headers(with without)
  set(stems "")
  foreach(header IN LISTS without)
    get_filename_component(stem ${header} NAME_WE)
    list(APPEND stems ${stem})
  endforeach()
  list(JOIN stems ", " text)
  set(source ${CMAKE_CURRENT_BINARY_DIR}/missing_twins.cpp)
  file(GENERATE OUTPUT ${source} CONTENT "#include \"engine/cuda/missing_twins.hpp\"

const char* amend::cuda::missing_twins() { return \"${text}\"; }
")
  target_sources(${target} PRIVATE ${source})
endfunction()

# device_kernels(<target>)
#
# For the tests' device on the CPU: `cuda::<name>` of every kernel, which queues the emulated twin, or the CPU twin of a
# stem that has none yet (test/support/device/device.hpp).
function(device_kernels target)
  kernel_headers(with without)
  set(includes "")
  set(emulated "")
  set(kernels "")
  foreach(header IN LISTS with without)
    get_filename_component(stem ${header} NAME_WE)
    string(APPEND includes "#include \"kernels/${stem}.hpp\"\n")
    kernel_declarations(${header} declarations)
    foreach(declaration IN LISTS declarations)
      string(REGEX REPLACE "(.*),(.*)" "\\1;\\2" parts ${declaration})
      list(GET parts 0 name)
      list(GET parts 1 args)
      if(header IN_LIST with)
        string(APPEND emulated "void ${name}(const ${args}& args, Stream stream);\n")
        set(kind "emulated")
        set(twin "emulated_cuda::${name}")
      else()
        set(kind "stand_in")
        set(twin "cpu::${name}")
      endif()
      string(APPEND kernels "void ${name}(const ${args}& args, Stream stream) {\n"
        "  test::device::queue_kernel(\"${name}\", test::device::Twin::${kind}, ${twin}, args, stream);\n}\n")
    endforeach()
  endforeach()
  set(source ${CMAKE_CURRENT_BINARY_DIR}/device_kernels.cpp)
  file(GENERATE OUTPUT ${source} CONTENT "#include \"test/support/device/device.hpp\"
${includes}
namespace amend::kernels::emulated_cuda {
${emulated}}  // namespace amend::kernels::emulated_cuda

namespace amend::kernels::cuda {
${kernels}}  // namespace amend::kernels::cuda
")
  target_sources(${target} PRIVATE ${source})
endfunction()
