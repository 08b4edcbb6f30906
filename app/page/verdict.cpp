#include "app/page/verdict.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "app/page/html_text.hpp"
#include "app/page/statistics.hpp"

namespace amend::page {
namespace {

// Leads of close methods are a tenth of the volumes' last digit.
constexpr int kLeadDigits = 4;

/// Titles hold commas.
std::string quoted(const ComparedMethod& method) { return "\u201c" + label_of(method) + "\u201d"; }

struct Other {
  const ComparedMethod* method;
  const ComparedVolume* volume;
};

/// `a`, `a and b`, `a, b and c`.
std::string listed(const std::vector<std::string>& items) {
  std::string out;
  for (std::size_t i = 0; i < items.size(); ++i)
    out += (i == 0 ? "" : i + 1 == items.size() ? " and " : ", ") + items[i];
  return out;
}

std::string names(const std::vector<Other>& others) {
  std::vector<std::string> items;
  for (const Other& other : others) items.push_back(quoted(*other.method));
  return listed(items);
}

/// `OBD + fold (no training; by 0.031, 0.025 to 0.037)`: how far each is ahead of the editor.
std::string leaders(const std::vector<Other>& others) {
  std::vector<std::string> items;
  for (const auto& [method, volume] : others) {
    const ComparedMean& lead = volume->editor_lead;
    items.push_back(fmt::format("{} ({}; by {}, {} to {})", quoted(*method), words_of(method->kind),
                                decimals(-lead.mean, kLeadDigits), decimals(-lead.interval.high, kLeadDigits),
                                decimals(-lead.interval.low, kLeadDigits)));
  }
  return listed(items);
}

std::string of_others(std::size_t count, std::size_t all) {
  if (count == all) return all == 1 ? "the other method" : fmt::format("all {} others", all);
  return fmt::format("{} of {} others", count, all);
}

}  // namespace

const ComparedVolume* volume_of(const ComparedMethod& method, bool divergence) {
  if (!divergence) return &method.accuracy_volume;
  return method.divergence_volume ? &*method.divergence_volume : nullptr;
}

Verdict verdict_of(const ComparisonTable& table, bool divergence) {
  const std::string measure = divergence ? "By divergence" : "By accuracy";
  const ComparedVolume* editor = table.methods.empty() ? nullptr : volume_of(table.methods.front(), divergence);
  if (!editor) return {Outcome::alone, "not measured", measure + ", the editor was not measured."};
  std::vector<Other> others, behind, ahead, unclear;
  for (std::size_t m = 1; m < table.methods.size(); ++m)
    if (const ComparedVolume* volume = volume_of(table.methods[m], divergence);
        volume && table.methods[m].kind != MethodKind::polished)
      others.push_back({&table.methods[m], volume});
  std::stable_sort(others.begin(), others.end(),
                   [](const Other& a, const Other& b) { return a.volume->volume.mean > b.volume->volume.mean; });
  for (const Other& other : others) {
    const Interval& lead = other.volume->editor_lead.interval;
    const bool known = table.network.size() > 1;
    (known && lead.low > 0.0 ? behind : known && lead.high < 0.0 ? ahead : unclear).push_back(other);
  }
  const std::string own = with_interval(editor->volume, 3);
  if (others.empty())
    return {
        Outcome::alone, "no other method",
        fmt::format("{}, there is no other method to hold the editor against; its hypervolume is {}.", measure, own)};
  const ComparedMethod& best = *others.front().method;
  Verdict verdict;
  if (!ahead.empty()) {
    verdict.outcome = Outcome::loses;
    verdict.brief = fmt::format("loses to {} of {}", ahead.size(), others.size());
    verdict.sentence =
        fmt::format("{}, the editor loses to {}: {} {} above its hypervolume of {}.", measure,
                    of_others(ahead.size(), others.size()), leaders(ahead), ahead.size() == 1 ? "is" : "are", own);
    if (!behind.empty())
      verdict.sentence += fmt::format(" It is ahead of {}.", of_others(behind.size(), others.size()));
  } else if (unclear.empty()) {
    verdict.outcome = Outcome::wins;
    verdict.brief = others.size() == 1 ? "ahead of the other" : fmt::format("ahead of all {}", others.size());
    verdict.sentence = fmt::format(
        "{}, the editor wins: with a hypervolume of {} it is ahead of {}. The next, {} ({}), "
        "is behind by {}.",
        measure, own, of_others(others.size(), others.size()), quoted(best), words_of(best.kind),
        with_interval(others.front().volume->editor_lead, kLeadDigits));
  } else {
    verdict.outcome = Outcome::unbeaten;
    verdict.brief = behind.empty()
                        ? fmt::format("no clear difference from {}", others.size())
                        : fmt::format("ahead of {} of {}, {} unclear", behind.size(), others.size(), unclear.size());
    verdict.sentence = fmt::format(
        "{}, the editor is neither beaten nor a clear winner: its hypervolume is {}, that of {} {}.{}", measure, own,
        quoted(best), with_interval(others.front().volume->volume, 3),
        behind.empty() ? std::string() : fmt::format(" It is ahead of {}.", of_others(behind.size(), others.size())));
  }
  if (!unclear.empty())
    verdict.sentence += table.network.size() > 1 ? fmt::format(" The difference from {} may be chance.", names(unclear))
                                                 : " One network cannot tell a difference from chance.";
  return verdict;
}

}  // namespace amend::page
