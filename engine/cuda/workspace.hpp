#pragma once

#include <cstddef>

#include "engine/stream.hpp"

namespace amend::cuda {

/// Scratch memory of a CUDA stream: at least `bytes` bytes, uninitialised, valid for work that is queued on the stream
/// before the next call with the same stream. Only grows, in stream order and without a synchronisation, so that a step
/// that repeats its shapes allocates nothing. Throws Error when it would have to grow while the stream is captured into
/// a graph (run the step once before), and when memory is short: the message says how much was asked for.
void* workspace(Stream stream, std::size_t bytes);

/// Gives a stream's workspace back, in stream order. To be called before the stream is destroyed.
void release_workspace(Stream stream);

}  // namespace amend::cuda
