#include "bench/measure/cuda/matrix_library.hpp"

#include <cublas_v2.h>
#include <cuda_runtime_api.h>
#include <dlfcn.h>

#include <cstdlib>
#include <initializer_list>
#include <string>

#include "engine/error.hpp"

namespace amend::bench {

namespace {

void* open_library() {
  const std::string name = "libcublas.so." + std::to_string(CUDART_VERSION / 1000);
  const char* named = std::getenv("AMEND_CUBLAS");
  for (const std::string& path : {std::string(named ? named : ""), name, std::string(AMEND_CUDA_LIBRARIES) + "/" + name,
                                  "/usr/local/cuda/lib64/" + name})
    if (void* library = path.empty() ? nullptr : dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL)) return library;
  return nullptr;
}

using Create = cublasStatus_t (*)(cublasHandle_t*);
using Destroy = cublasStatus_t (*)(cublasHandle_t);
using SetStream = cublasStatus_t (*)(cublasHandle_t, cudaStream_t);
using GemmEx = cublasStatus_t (*)(cublasHandle_t, cublasOperation_t, cublasOperation_t, int m, int n, int k,
                                  const void* alpha, const void* a, cudaDataType, int lda, const void* b, cudaDataType,
                                  int ldb, const void* beta, void* c, cudaDataType, int ldc, cublasComputeType_t,
                                  cublasGemmAlgo_t);

template <class Function>
Function find(void* library, const char* name) {
  return reinterpret_cast<Function>(dlsym(library, name));
}

void require(cublasStatus_t status, const char* what) {
  check(status == CUBLAS_STATUS_SUCCESS, "cublas", what, " returned status ", static_cast<int>(status));
}

}  // namespace

MatrixLibrary::MatrixLibrary(Stream stream) : library_(open_library()) {
  if (library_ == nullptr) return;
  const auto create = find<Create>(library_, "cublasCreate_v2");
  const auto set_stream = find<SetStream>(library_, "cublasSetStream_v2");
  if (create == nullptr || set_stream == nullptr) return;
  cublasHandle_t handle = nullptr;
  require(create(&handle), "cublasCreate");
  handle_ = handle;
  require(set_stream(handle, static_cast<cudaStream_t>(stream.handle())), "cublasSetStream");
}

MatrixLibrary::~MatrixLibrary() {
  if (handle_ != nullptr)
    if (const auto destroy = find<Destroy>(library_, "cublasDestroy_v2")) destroy(static_cast<cublasHandle_t>(handle_));
  // The library stays loaded: unloading it while the driver lives is asking for trouble.
}

void MatrixLibrary::multiply(kernels::Precision precision, std::int64_t size, const void* a, const void* b, void* c) {
  const auto gemm = find<GemmEx>(library_, "cublasGemmEx");
  check(handle_ != nullptr && gemm != nullptr, "cublas", "the library was not found");
  const cudaDataType type = precision == kernels::Precision::bf16 ? CUDA_R_16BF : CUDA_R_32F;
  const cublasComputeType_t compute =
      precision == kernels::Precision::tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
  const int n = static_cast<int>(size);
  const float one = 1.0f, zero = 0.0f;
  require(gemm(static_cast<cublasHandle_t>(handle_), CUBLAS_OP_T, CUBLAS_OP_N, n, n, n, &one, a, type, n, b, type, n,
               &zero, c, type, n, compute, CUBLAS_GEMM_DEFAULT),
          "cublasGemmEx");
}

}  // namespace amend::bench
