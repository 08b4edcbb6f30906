#pragma once

#include <string>
#include <string_view>

#include "requirements/comparison/comparison.hpp"

namespace amend::page {

/// `text` for the inside of elements and of double-quoted attributes, in HTML and in XML. Control characters and what
/// is no UTF-8 become U+FFFD, which both refuse otherwise.
std::string escaped(std::string_view text);

/// Fixed decimals with a true minus sign; what rounds to zero has none.
std::string decimals(double value, int digits);
/// Three significant digits.
std::string significant(double value);
/// `3.1 ms`, `2.5 s`, `4.0 min`.
std::string duration(double seconds);
/// `0.93 (0.91 to 0.95)`.
std::string with_interval(const ComparedMean& value, int digits);

/// The title of a method, or its name where it has none.
const std::string& label_of(const ComparedMethod& method);
/// What a kind asks for, in a few words: `no training`.
std::string words_of(MethodKind kind);

}  // namespace amend::page
