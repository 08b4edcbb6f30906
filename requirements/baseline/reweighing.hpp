#pragma once
#include <cstdint>
#include <span>
#include <vector>
namespace amend {
std::vector<double> reweighing_weights(std::span<const std::int32_t> label, std::span<const std::int32_t> group, int classes, int groups);
}
