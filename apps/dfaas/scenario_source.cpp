// SPDX-License-Identifier: AGPL-3.0-or-later
#include "apps/dfaas/scenario_source.hpp"

#include <filesystem>
#include <utility>

#include <fmt/format.h>

#include "core/scenario/families.hpp"
#include "core/scenario/scenario_file.hpp"
#include "live/files/files.hpp"

namespace dfaas {
namespace {

constexpr std::size_t scenario_bytes_max = 64U << 20U;

bool is_file_name(const std::string& name) { return name.ends_with(".toml"); }

Result<Scenario> scenario_of_file(const std::string& file, std::uint64_t seed) {
  const auto text = read_file(file, scenario_bytes_max);
  if (!text) return fail(text.error().code, text.error().message);
  const auto directory = std::filesystem::path(file).parent_path();
  auto scenario = parse_scenario_file(*text, seed, [&directory](const std::string& named) {
    return read_file(directory / named, scenario_data_bytes_max);
  });
  if (!scenario) return tl::unexpected(std::move(scenario).error().within(file));
  if (scenario->name.empty()) scenario->name = std::filesystem::path(file).stem().string();
  return scenario;
}

}  // namespace

Result<ScenarioSource> source_of(const std::string& name) {
  if (is_file_name(name)) {
    return ScenarioSource{name,
                          [name](std::uint64_t seed) { return scenario_of_file(name, seed); }};
  }
  auto family = find_family(name);
  if (!family) {
    return fail(ErrorCode::invalid_input,
                fmt::format("{}; a scenario file ends in .toml", family.error().message));
  }
  return ScenarioSource{
      name, [made = *family](std::uint64_t seed) -> Result<Scenario> { return made.make(seed); }};
}

Result<Scenario> scenario_of_name(const std::string& name, std::uint64_t seed) {
  auto source = source_of(name);
  if (!source) return pass_on(std::move(source));
  return source->make(seed);
}

}  // namespace dfaas
