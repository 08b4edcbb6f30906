# Flags every target of the project is compiled with.
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()

find_program(CCACHE ccache)
if(CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE})
endif()

add_library(amend_compile_options INTERFACE)
# nvcc hands the warnings on to g++ for host code; -Wpedantic would complain of the code nvcc generates.
target_compile_options(amend_compile_options INTERFACE
  $<$<COMPILE_LANGUAGE:CUDA>:--Werror=all-warnings -Xcompiler=-Wall,-Wextra,-Werror,-Wno-missing-field-initializers
    # Device lambdas, and constexpr functions of the standard library in device code (std::array, std::bit_cast).
    --extended-lambda --expt-relaxed-constexpr
    # Registers, shared memory and spills of every kernel: scripts/cuda_compile keeps them, scripts/cuda_resources reads.
    -Xptxas=-v>)
target_compile_options(amend_compile_options INTERFACE $<$<COMPILE_LANGUAGE:CXX>:
  -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Werror
  -Wno-restrict  # g++ 12 warns of its own string concatenation (GCC bug 105651)
  -Wno-missing-field-initializers  # designated initialisers leave optional arguments out
  # Lets loops over expf-like maths vectorise. NaN and infinity keep their meaning: no -ffast-math.
  -fno-math-errno -fno-trapping-math>)
if(AMEND_NATIVE)
  target_compile_options(amend_compile_options INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-march=native>)
endif()
if(AMEND_SANITIZE)
  # Without UBSan's checks of pointers, up to a third of the compile time: AddressSanitizer sees accesses through bad
  # ones. But with that of alignment in targets that set AMEND_CHECK_ALIGNMENT.
  target_compile_options(amend_compile_options INTERFACE -fsanitize=address,undefined -fno-omit-frame-pointer
    -fno-sanitize-recover=all
    -fno-sanitize=null,object-size,pointer-overflow,nonnull-attribute,returns-nonnull-attribute,return
    $<$<NOT:$<BOOL:$<TARGET_PROPERTY:AMEND_CHECK_ALIGNMENT>>>:-fno-sanitize=alignment>)
  target_link_options(amend_compile_options INTERFACE -fsanitize=address,undefined)
endif()
set(CMAKE_CXX_FLAGS_RELEASE "-O3 -DNDEBUG")
set(CMAKE_CUDA_FLAGS_RELEASE "-O3 -DNDEBUG")
# The sanitizers' build, with lines in reports: optimising what they insert takes most of its compile time. Only the
# kernels, which take most of its run time, are optimised (CMakeLists.txt).
set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O0 -g1")
