#pragma once

/// Marks per-element maths that the CPU and the CUDA twin of a kernel share.
#ifdef __CUDACC__
#define AMEND_HOST_DEVICE __host__ __device__
#else
#define AMEND_HOST_DEVICE
#endif
