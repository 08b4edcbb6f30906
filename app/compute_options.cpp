#include "app/compute_options.hpp"

#include <CLI/CLI.hpp>

namespace amend {

void ComputeOptions::add_to(CLI::App& command) {
  command.add_option("--device", device, "cpu (default), cuda, cuda:N or auto: CUDA where it can be used");
  command.add_option("--threads", threads, "Threads to compute on; default: all cores")->check(CLI::Range(1, 4096));
}

}  // namespace amend
