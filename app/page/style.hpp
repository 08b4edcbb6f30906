#pragma once

namespace amend::page {

/// The style sheet of the page. Free of `<` and `&`: it stands in HTML and in XML as it is.
extern const char* const kStyle;

/// Lets readers hide methods and pick one out; the page reads without it. Free of `<` and `&` too.
extern const char* const kScript;

}  // namespace amend::page
