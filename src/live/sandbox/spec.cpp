// SPDX-License-Identifier: AGPL-3.0-or-later
#include "live/sandbox/spec.hpp"

#include <algorithm>
#include <charconv>
#include <iterator>
#include <limits>

namespace dfaas {
namespace {

class Texts {
 public:
  void add(std::string_view name, std::string_view value) {
    texts_.push_back(std::string(name) + "=" + std::string(value));
  }
  void add(std::string_view name, std::uint64_t value) {
    if (value != 0) add(name, std::string_view(std::to_string(value)));
  }
  std::vector<std::string> take() { return std::move(texts_); }

 private:
  std::vector<std::string> texts_;
};

template <class Number>
Number number_of(std::string_view text) {
  Number value{};
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

/// Calls `take(name, value)` for each text.
template <class Take>
void for_each(const std::vector<const char*>& texts, Take take) {
  for (const std::string_view text : texts) {
    const std::size_t equals = text.find('=');
    if (equals != std::string_view::npos) take(text.substr(0, equals), text.substr(equals + 1));
  }
}

}  // namespace

std::string_view to_text(SandboxTier tier) {
  switch (tier) {
    case SandboxTier::namespaces:
      return "namespaces";
    case SandboxTier::landlock:
      return "landlock";
    case SandboxTier::none:
      return "none";
  }
  return "none";
}

std::optional<SandboxTier> parse_tier(std::string_view text) {
  for (const SandboxTier tier :
       {SandboxTier::namespaces, SandboxTier::landlock, SandboxTier::none}) {
    if (text == to_text(tier)) return tier;
  }
  return std::nullopt;
}

std::string_view to_text(LimitsBy limits) {
  switch (limits) {
    case LimitsBy::cgroup_v2:
      return "cgroup v2";
    case LimitsBy::cgroup_v1:
      return "cgroup v1";
    case LimitsBy::rlimits:
      return "rlimits";
  }
  return "rlimits";
}

std::vector<std::string> to_texts(const SandboxSettings& settings) {
  Texts texts;
  if (settings.tier) texts.add("tier", to_text(*settings.tier));
  for (const std::string& path : settings.hidden) texts.add("hidden", path);
  for (const std::string& path : settings.readable) texts.add("readable", path);
  for (const std::string& path : settings.writable) texts.add("writable", path);
  texts.add("scratch", settings.scratch);
  texts.add("first_user", settings.first_user);
  return texts.take();
}

SandboxSettings settings_from_texts(const std::vector<const char*>& texts) {
  SandboxSettings settings;
  for_each(texts, [&settings](std::string_view name, std::string_view value) {
    if (name == "tier") settings.tier = parse_tier(value);
    if (name == "hidden") settings.hidden.emplace_back(value);
    if (name == "readable") settings.readable.emplace_back(value);
    if (name == "writable") settings.writable.emplace_back(value);
    if (name == "scratch") settings.scratch = value;
    if (name == "first_user") settings.first_user = number_of<std::uint32_t>(value);
  });
  return settings;
}

std::vector<std::string> to_texts(const ReplicaSpec& spec) {
  Texts texts;
  texts.add("name", spec.name);
  texts.add("root", spec.root);
  texts.add("user", spec.user);
  texts.add("memory", spec.memory_bytes);
  texts.add("cpu", spec.cpu_millis);
  texts.add("processes", spec.processes);
  texts.add("tmp", spec.tmp_bytes);
  texts.add("host_network", spec.host_network ? 1U : 0U);
  texts.add("port", spec.port);
  for (const auto& [name, file] : spec.secrets) {
    std::string pair = name;
    pair.append("=").append(file);
    texts.add("secret", pair);
  }
  return texts.take();
}

ReplicaSpec spec_from_texts(const std::vector<const char*>& texts) {
  ReplicaSpec spec;
  for_each(texts, [&spec](std::string_view name, std::string_view value) {
    if (name == "name") spec.name = value;
    if (name == "root") spec.root = value;
    if (name == "user") spec.user = number_of<std::uint32_t>(value);
    if (name == "memory") spec.memory_bytes = number_of<std::uint64_t>(value);
    if (name == "cpu") spec.cpu_millis = number_of<std::uint32_t>(value);
    if (name == "processes") spec.processes = number_of<std::uint32_t>(value);
    if (name == "tmp") spec.tmp_bytes = number_of<std::uint64_t>(value);
    if (name == "host_network") spec.host_network = value == "1";
    if (name == "port") spec.port = number_of<std::uint16_t>(value);
    if (name == "secret") {
      const std::size_t equals = value.find('=');
      if (equals == std::string_view::npos) return;
      spec.secrets.emplace_back(value.substr(0, equals), value.substr(equals + 1));
    }
  });
  return spec;
}

std::vector<std::string> to_texts(const SandboxReport& report) {
  Texts texts;
  texts.add("tier", to_text(report.tier));
  texts.add("limits", static_cast<std::uint64_t>(report.limits));
  texts.add("memory", report.memory ? 1U : 0U);
  texts.add("cpu", report.cpu ? 1U : 0U);
  for (const std::string& note : report.notes) texts.add("note", note);
  if (!report.failure.empty()) texts.add("failure", report.failure);
  return texts.take();
}

SandboxReport report_from_texts(const std::vector<const char*>& texts) {
  SandboxReport report{.limits = LimitsBy::cgroup_v2};  // The zero that to_texts() leaves out.
  for_each(texts, [&report](std::string_view name, std::string_view value) {
    if (name == "tier") report.tier = parse_tier(value).value_or(SandboxTier::none);
    if (name == "limits") report.limits = static_cast<LimitsBy>(number_of<std::uint8_t>(value));
    if (name == "memory") report.memory = value == "1";
    if (name == "cpu") report.cpu = value == "1";
    if (name == "note") report.notes.emplace_back(value);
    if (name == "failure") report.failure = value;
  });
  return report;
}

std::vector<std::string> to_texts(const ReplicaReady& ready) {
  Texts texts;
  texts.add("temporary", ready.temporary);
  texts.add("keeper", static_cast<std::uint64_t>(ready.usage.keeper));
  texts.add("memory_group", ready.usage.memory_group);
  texts.add("cpu_group", ready.usage.cpu_group);
  return texts.take();
}

ReplicaReady ready_from_texts(const std::vector<const char*>& texts) {
  ReplicaReady ready;
  for_each(texts, [&ready](std::string_view name, std::string_view value) {
    if (name == "temporary") ready.temporary = value;
    if (name == "keeper") ready.usage.keeper = number_of<int>(value);
    if (name == "memory_group") ready.usage.memory_group = value;
    if (name == "cpu_group") ready.usage.cpu_group = value;
  });
  return ready;
}

std::string path_in(std::string_view directory, std::string_view name) {
  std::string path(directory);
  path += '/';
  path += name;
  return path;
}

bool is_below(std::string_view path, std::string_view directory) {
  return path.starts_with(directory) && (path.size() == directory.size() ||
                                         directory.ends_with('/') || path[directory.size()] == '/');
}

bool is_visible(const SandboxSettings& settings, std::string_view path) {
  const auto holds = [path](std::string_view directory) { return is_below(path, directory); };
  return std::none_of(settings.hidden.begin(), settings.hidden.end(), holds) &&
         (std::any_of(std::begin(system_directories), std::end(system_directories), holds) ||
          std::any_of(settings.readable.begin(), settings.readable.end(), holds) ||
          std::any_of(settings.writable.begin(), settings.writable.end(), holds));
}

}  // namespace dfaas
