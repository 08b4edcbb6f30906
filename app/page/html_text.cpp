#include "app/page/html_text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "engine/error.hpp"

namespace amend::page {
namespace {

/// Bytes of the UTF-8 character at the begin of `text`, 0 where there is none that XML takes.
std::size_t character_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned first = byte(0);
  if (first < 0x80) return first >= 0x20 && first != 0x7f ? 1 : 0;
  const std::size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || text.size() < length) return 0;
  unsigned code = first & (0xffu >> (length + 1));
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0u) != 0x80u) return 0;
    code = code << 6 | (byte(i) & 0x3fu);
  }
  const unsigned least = length == 4 ? 0x10000 : length == 3 ? 0x800 : 0x80;
  const bool control = code < 0xa0, surrogate = code >= 0xd800 && code <= 0xdfff, none = (code & 0xfffeu) == 0xfffeu;
  return code < least || code > 0x10ffff || control || surrogate || none ? 0 : length;
}

}  // namespace

std::string escaped(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const std::size_t length = character_length(text);
    switch (text.front()) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      case '\'': out += "&#39;"; break;
      case '\n':
      case '\t': out += ' '; break;
      default: out += length > 0 ? text.substr(0, length) : std::string_view("\xef\xbf\xbd");
    }
    text.remove_prefix(std::max<std::size_t>(length, 1));
  }
  return out;
}

std::string decimals(double value, int digits) {
  std::string text = fmt::format("{:.{}f}", value, digits);
  if (text.front() != '-') return text;
  text.erase(0, 1);
  return text.find_first_not_of("0.") == std::string::npos ? text : "\u2212" + text;
}

std::string significant(double value) {
  const double size = std::abs(value);
  if (size == 0.0) return "0";
  if (size >= 1e6 || size < 1e-6) return fmt::format("{:.2e}", value);
  return decimals(value, std::max(0, 2 - static_cast<int>(std::floor(std::log10(size)))));
}

std::string duration(double seconds) {
  if (seconds < 1.0) return significant(1e3 * seconds) + " ms";
  return seconds < 120.0 ? significant(seconds) + " s" : significant(seconds / 60.0) + " min";
}

std::string with_interval(const ComparedMean& value, int digits) {
  return fmt::format("{} ({} to {})", decimals(value.mean, digits), decimals(value.interval.low, digits),
                     decimals(value.interval.high, digits));
}

const std::string& label_of(const ComparedMethod& method) { return method.title.empty() ? method.name : method.title; }

std::string words_of(MethodKind kind) {
  switch (kind) {
    case MethodKind::editor: return "forward passes only";
    case MethodKind::polished: return "an edit, then fine-tuning";
    case MethodKind::one_shot: return "no training";
    case MethodKind::canonical: return "the same network for all";
    case MethodKind::fine_tuned: return "trained per network";
    case MethodKind::retrained: return "from scratch per network";
    case MethodKind::attribute: return "needs the sensitive attribute";
  }
  fail("comparison_page", "unknown kind of method ", static_cast<int>(kind));
}

}  // namespace amend::page
