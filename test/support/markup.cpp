#include "test/support/markup.hpp"

#include <cctype>
#include <map>
#include <optional>

namespace amend::test {
namespace {

/// `text` with its entities replaced, or nothing when it is malformed.
std::optional<std::string> replaced(const std::string& text) {
  static const std::map<std::string, std::string> entities{
      {"amp", "&"}, {"lt", "<"}, {"gt", ">"}, {"quot", "\""}, {"#39", "'"}};
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto letter = static_cast<unsigned char>(text[i]);
    if (letter == '<' || (letter < ' ' && letter != '\n')) return std::nullopt;
    if (letter != '&') {
      out += text[i];
      continue;
    }
    const std::size_t end = text.find(';', i);
    const auto found = end == std::string::npos ? entities.end() : entities.find(text.substr(i + 1, end - i - 1));
    if (found == entities.end()) return std::nullopt;
    out += found->second;
    i = end;
  }
  return out;
}

bool is_name(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == ':'; }

}  // namespace

std::string Element::operator[](const std::string& key) const {
  for (const auto& [own, value] : attributes)
    if (own == key) return value;
  return "";
}

std::vector<const Element*> Markup::all(const std::string& name) const {
  std::vector<const Element*> found;
  for (const Element& element : elements)
    if (element.name == name) found.push_back(&element);
  return found;
}

std::string Markup::text(const Element& element) const {
  const auto index = static_cast<std::size_t>(&element - elements.data());
  std::string out = element.text;
  for (std::size_t i = index + 1; i < elements.size(); ++i)
    if (elements[i].parent == index) out += text(elements[i]);
  return out;
}

Markup parse_markup(const std::string& page) {
  Markup markup;
  std::vector<std::size_t> open;
  const auto wrong = [&](std::size_t at, const std::string& what) {
    markup.error = what + ": " + page.substr(at, 80);
    return markup;
  };
  const std::string doctype = "<!DOCTYPE html>\n";
  std::size_t at = page.starts_with(doctype) ? doctype.size() : 0;
  while (at < page.size()) {
    if (page[at] != '<') {
      const std::size_t end = std::min(page.find('<', at), page.size());
      const auto text = replaced(page.substr(at, end - at));
      if (!text) return wrong(at, "malformed text");
      if (!open.empty()) markup.elements[open.back()].text += *text;
      if (open.empty() && text->find_first_not_of('\n') != std::string::npos) return wrong(at, "text outside");
      at = end;
      continue;
    }
    const bool closing = page.compare(at, 2, "</") == 0;
    std::size_t i = at + (closing ? 2 : 1);
    std::string name;
    while (i < page.size() && is_name(page[i])) name += page[i++];
    if (name.empty()) return wrong(at, "a tag without a name");
    if (closing) {
      if (open.empty() || markup.elements[open.back()].name != name || page[i] != '>')
        return wrong(at, "closes nothing");
      open.pop_back();
      at = i + 1;
      continue;
    }
    if (open.empty() && !markup.elements.empty()) return wrong(at, "a second root");
    Element element{.name = name, .parent = open.empty() ? 0 : open.back()};
    while (page[i] == ' ') {
      std::string key;
      for (++i; i < page.size() && is_name(page[i]);) key += page[i++];
      const std::size_t end = page.find('"', i + 2);
      if (key.empty() || page.compare(i, 2, "=\"") != 0 || end == std::string::npos)
        return wrong(at, "malformed attribute");
      const auto value = replaced(page.substr(i + 2, end - i - 2));
      for (const auto& [own, ignored] : element.attributes)
        if (own == key) return wrong(at, "an attribute twice");
      if (!value) return wrong(at, "malformed attribute");
      element.attributes.emplace_back(key, *value);
      i = end + 1;
    }
    const bool empty = page.compare(i, 2, "/>") == 0;
    if (!empty && page[i] != '>') return wrong(at, "a tag without an end");
    if (!empty) open.push_back(markup.elements.size());
    markup.elements.push_back(std::move(element));
    at = i + (empty ? 2 : 1);
  }
  if (!open.empty()) markup.error = "never closed: " + markup.elements[open.back()].name;
  return markup;
}

}  // namespace amend::test
