#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace amend::test {

struct Element {
  std::string name;
  std::vector<std::pair<std::string, std::string>> attributes;
  std::size_t parent = 0;  // in Markup::elements; the root's own
  std::string text;        // what stands in it directly, with entities replaced

  /// Value of an attribute, empty when there is none.
  std::string operator[](const std::string& name) const;
};

/// A page taken apart the way a strict XML parser does.
struct Markup {
  std::vector<Element> elements;  // in document order
  std::string error;              // what is malformed, empty when nothing is

  std::vector<const Element*> all(const std::string& name) const;
  /// Text of an element with that of the elements in it.
  std::string text(const Element& element) const;
};

/// Every element must be closed in order, every attribute quoted and there once, every `&` one of XML's five entities
/// or a number, and no `<` or control character stand in a text.
Markup parse_markup(const std::string& page);

}  // namespace amend::test
