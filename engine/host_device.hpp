#pragma once

/// Marks per-element maths that the CPU and the CUDA twin of a kernel share. On the host it is always inlined: it is
/// compiled for several instruction sets, and the linker must not choose among them.
#ifdef __CUDACC__
#define AMEND_HOST_DEVICE __host__ __device__
#else
#define AMEND_HOST_DEVICE [[gnu::always_inline]]
#endif
