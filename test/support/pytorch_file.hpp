#pragma once

#include <string>

#include "metanet/data/subject_network.hpp"

namespace amend::test {

/// A network as a user of PyTorch would have saved it.
void write_pytorch_file(const std::string& file, const SubjectNetwork& network);

}  // namespace amend::test
