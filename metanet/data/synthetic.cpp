#include "metanet/data/synthetic.hpp"

#include <cmath>

#include "engine/random.hpp"
#include "metanet/data/sha256.hpp"

namespace amend {

namespace {

constexpr std::uint32_t kStream = 0x53594E00;  // one stream per drawn quantity, from here on

ColumnDescription numeric(const char* name, Transform transform = Transform::identity) {
  ColumnDescription column;
  column.name = name;
  column.transform = transform;
  return column;
}

ColumnDescription categorical(const char* name, std::vector<std::string> levels) {
  ColumnDescription column;
  column.name = name;
  column.kind = ColumnKind::categorical;
  column.unknown_level = UnknownLevel::error;
  column.levels = std::move(levels);
  return column;
}

/// Index of the interval that `u` falls in, `ends` being the upper ends of all intervals but the last.
template <std::size_t n>
std::int32_t interval_of(float u, const float (&ends)[n]) {
  std::int32_t index = 0;
  for (const float end : ends) index += u >= end ? 1 : 0;
  return index;
}

}  // namespace

DatasetDescription synthetic_description(const SyntheticSettings& settings) {
  DatasetDescription description;
  description.name = "synthetic";
  description.synthetic = settings;
  description.columns = {
      categorical("group", {"a", "b"}),
      numeric("skill"),
      numeric("experience", Transform::log1p),
      categorical("education", {"none", "school", "college", "degree"}),
      categorical("sector", {"farm", "trade", "office"}),
      numeric("wealth"),
      categorical("district", {"north", "east", "south", "west", "centre"}),
      numeric("skill_test"),
      numeric("tenure", Transform::log1p),
      numeric("savings"),
      numeric("noise_1"),
      categorical("noise_2", {"p", "q", "r", "s"}),
      categorical("repaid", {"no", "yes"}),
  };
  description.columns.front().is_sensitive = true;
  description.columns.back().is_feature = false;
  description.columns.back().is_label = true;
  description.label.values = {{"no"}, {"yes"}};
  description.label.names = {"no", "yes"};
  description.sensitive.push_back({"group", "group", {"a", "b"}, {}, -1, std::nullopt});
  return description;
}

SyntheticTable generate_synthetic(const SyntheticSettings& settings) {
  const DatasetDescription description = synthetic_description(settings);
  const auto rows = static_cast<std::size_t>(settings.rows);
  SyntheticTable table;
  SourceTable& source = table.source;
  source.rows = settings.rows;
  source.files.push_back({"synthetic", std::nullopt, sha256_hex("amend synthetic model 1")});
  source.file.assign(rows, 0);
  source.columns.resize(description.columns.size());
  for (std::size_t i = 0; i < source.columns.size(); ++i) {
    if (description.columns[i].levels) source.columns[i].values = *description.columns[i].levels;
    (description.columns[i].levels ? source.columns[i].code.resize(rows) : source.columns[i].number.resize(rows));
  }
  table.probability.resize(rows);

  const auto column = [&](const char* name) -> SourceColumn& {
    return source.columns[static_cast<std::size_t>(description.find_column(name))];
  };
  auto &group = column("group").code, &education = column("education").code, &sector = column("sector").code;
  auto &district = column("district").code, &noise_2 = column("noise_2").code, &repaid = column("repaid").code;
  auto &skill = column("skill").number, &experience = column("experience").number, &wealth = column("wealth").number;
  auto &skill_test = column("skill_test").number, &tenure = column("tenure").number;
  auto &savings = column("savings").number, &noise_1 = column("noise_1").number;

  constexpr float kSkillEffect[] = {0.5f, 1.0f, 1.5f}, kSectorEffect[] = {-0.3f, 0.0f, 0.3f};
  constexpr float kEducationEffect[] = {-0.6f, -0.2f, 0.2f, 0.6f};
  constexpr float kSectorEnds[] = {0.3f, 0.7f}, kDistrictEnds[] = {0.2f, 0.4f, 0.6f, 0.8f};
  constexpr float kEducationEnds[] = {-0.8f, 0.2f, 1.0f}, kNoiseEnds[] = {0.25f, 0.5f, 0.75f};
  const auto bias = static_cast<float>(settings.bias);
  const auto stream = [&](std::uint32_t quantity) { return RandomStream(settings.seed, kStream + quantity); };

#pragma omp parallel for schedule(static)
  for (std::size_t row = 0; row < rows; ++row) {
    const float in_b = stream(0).uniform(row) < 0.4f ? 1.0f : 0.0f;
    const float skill_value = stream(1).normal(row), log_experience = stream(2).normal(row);
    const float school = 0.5f * skill_value + 0.87f * stream(3).normal(row);
    const float wealth_value = 0.8f * stream(5).normal(row) + 0.3f * skill_value - 0.8f * bias * in_b;
    group[row] = in_b > 0 ? 1 : 0;
    education[row] = interval_of(school, kEducationEnds);
    sector[row] = interval_of(stream(4).uniform(row), kSectorEnds);
    // u^(1 + bias) leans to the first districts, 1 - u^(1 + bias) to the last.
    const float leaning = std::pow(stream(6).uniform(row), 1 + bias);
    district[row] = interval_of(in_b > 0 ? leaning : 1 - leaning, kDistrictEnds);
    skill[row] = skill_value;
    experience[row] = std::exp(1.5f + 0.6f * log_experience);
    wealth[row] = wealth_value;
    skill_test[row] = skill_value + 0.35f * stream(7).normal(row);
    tenure[row] = 0.8 * experience[row] * std::exp(0.25f * stream(8).normal(row));
    savings[row] = wealth_value + 0.35f * stream(9).normal(row);
    noise_1[row] = stream(10).normal(row);
    noise_2[row] = interval_of(stream(11).uniform(row), kNoiseEnds);
    const float merit = 0.9f * skill_value * kSkillEffect[sector[row]] + 0.7f * log_experience +
                        kEducationEffect[education[row]] + kSectorEffect[sector[row]] + 0.6f * wealth_value +
                        0.5f * std::tanh(skill_value * log_experience);
    const float logit = 1.5f * merit - bias * in_b + 0.3f;
    table.probability[row] = 1 / (1 + std::exp(-logit));
    repaid[row] = stream(12).uniform(row) < table.probability[row] ? 1 : 0;
  }
  return table;
}

}  // namespace amend
