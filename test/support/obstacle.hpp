#pragma once

#include <string>

namespace amend::test {

/// For programs that need what a machine may lack: one sentence that says why no test can run, or nothing.
inline std::string (*obstacle)() = nullptr;

}  // namespace amend::test
