// SPDX-License-Identifier: AGPL-3.0-or-later
#include "apps/dfaas/sim_import.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <tuple>
#include <utility>

#include <fmt/format.h>

#include "core/base/duration.hpp"
#include "core/base/text.hpp"
#include "core/scenario/import_azure.hpp"
#include "core/scenario/import_original.hpp"
#include "core/scenario/scenario_file.hpp"
#include "core/scenario/trace.hpp"
#include "core/toml/toml_table.hpp"
#include "live/files/files.hpp"

namespace dfaas {
namespace {

constexpr std::size_t source_bytes_max = std::size_t{4}
                                         << 30U;  ///< The calls of 2021 are some 600 MB.
constexpr mode_t readable_by_all = 0644;
/// Of all slots, if nobody says how many there are: busy, with room for what is uneven. Guessed.
constexpr double occupied_ratio_wanted = 0.6;

struct ImportOptions {
  std::vector<std::string> paths;
  std::string output;
  // Of the Azure traces:
  std::string source;
  std::string durations;
  std::string federation;
  std::uint64_t seed = 1;
  int nodes = 10;
  int slots = 0;  ///< 0: as many as the load needs.
  std::size_t functions = 10;
  std::string start = "0s";
  std::string duration = "1h";
  std::vector<std::string> users;
  double rate_factor = 1;
  std::string trace;
};

Result<std::string> read_source(const std::string& path) {
  auto text = read_file(path, source_bytes_max);
  if (!text) return fail(text.error().code, text.error().message);
  return text;
}

/// What the reader of a format complained of, with the file.
tl::unexpected<Error> wrong_in(const std::string& path, Error error) {
  return tl::unexpected(std::move(error).within(path));
}

// --- what comes out

double calls_of(const Scenario& scenario) {
  double sum = 0;
  for (const ScenarioLoad& load : scenario.loads) {
    for (const Rate rate : load.rates) sum += rate.per_second * to_seconds(load.step);
    sum += static_cast<double>(load.calls.size());
  }
  return sum;
}

/// All calls of `scenario` as a recording, in order of time.
Trace trace_of(const Scenario& scenario) {
  Trace trace;
  for (const ScenarioLoad& load : scenario.loads) {
    for (const TraceCall& call : load.calls) {
      trace.calls.push_back({.at = call.at,
                             .node = scenario.nodes[load.node].name,
                             .function = scenario.functions[load.function].name,
                             .service_time = call.service_time});
    }
  }
  std::ranges::sort(trace.calls, {}, [](const RecordedCall& call) {
    return std::tie(call.at, call.node, call.function, call.service_time);
  });
  return trace;
}

/// `file` as a scenario in `scenario_file` names it: from beside that.
std::string as_named_by(const std::string& scenario_file, const std::string& file) {
  const std::filesystem::path path(file);
  if (path.is_absolute()) return file;
  const auto directory = std::filesystem::path(scenario_file).parent_path();
  return path.lexically_relative(directory.empty() ? "." : directory).string();
}

Result<void> write_scenario(Scenario scenario, const ImportOptions& options) {
  const double calls = calls_of(scenario);
  std::string tables;
  if (!options.trace.empty()) {
    const std::string text = trace_to_text(trace_of(scenario), TraceFormat::csv);
    if (auto done = write_file(options.trace, text, readable_by_all); !done) return done;
    scenario.loads.clear();
    tables = fmt::format("\n[[load]]\ntrace = {}\n",
                         toml_text(as_named_by(options.output, options.trace)));
  }
  const std::string text = scenario_to_toml(scenario) + tables;
  if (options.output.empty()) {
    fmt::print("{}", text);
  } else if (auto done = write_file(options.output, text, readable_by_all); !done) {
    return done;
  }
  fmt::print(stderr, "{} nodes, {} links, {} functions, about {:.0f} calls in {:.0f} s\n",
             scenario.nodes.size(), scenario.links.size(), scenario.functions.size(), calls,
             to_seconds(scenario.duration));
  if (!options.output.empty()) fmt::print(stderr, "Next: dfaas sim run {}\n", options.output);
  return {};
}

// --- dfaas sim import original

Result<void> import_original_files(const ImportOptions& options) {
  std::vector<OriginalDataFile> files;
  for (const std::string& path : options.paths) {
    auto text = read_source(path);
    if (!text) return pass_on(std::move(text));
    files.push_back({.name = path, .json = std::move(*text)});
  }
  if (files.size() == 1) {
    auto scenario = import_original(files.front().json);
    if (!scenario) return wrong_in(files.front().name, std::move(scenario).error());
    return write_scenario(std::move(*scenario), options);
  }
  auto scenario = import_original_data(files);
  if (!scenario) {
    return fail(scenario.error().code,
                scenario.error().message + "; several files are data files, one node each");
  }
  return write_scenario(std::move(*scenario), options);
}

// --- dfaas sim import azure2019, azure2021

/// Nodes and links that are there already, without what they run and are asked for.
Result<Scenario> federation_for(const ImportOptions& options, const ScenarioOfName& scenario_of) {
  Scenario federation;
  if (options.federation.empty()) {
    for (int number = 1; number <= options.nodes; ++number) {
      const auto name = NodeName::parse(fmt::format("node-{}", number));
      federation.nodes.push_back({.name = *name, .pools = {{.name = "cpu", .slots = 1}}});
    }
    for (NodeIndex a = 0; a < federation.nodes.size(); ++a) {
      for (NodeIndex b = a + 1; b < federation.nodes.size(); ++b) {
        federation.links.push_back({.a = a, .b = b});
      }
    }
  } else {
    auto made = scenario_of(options.federation, options.seed);
    if (!made) return tl::unexpected(std::move(made).error().within("--federation"));
    federation = std::move(*made);
    federation.functions.clear();
    federation.loads.clear();
    federation.stress_from.reset();
    federation.stress_until.reset();
    for (ScenarioNode& node : federation.nodes) node.functions.clear();
  }
  if (options.slots > 0) {
    for (ScenarioNode& node : federation.nodes) {
      node.pools = {{.name = "cpu", .slots = options.slots}};
    }
  }
  return federation;
}

Result<Micros> time_of(std::string_view option, const std::string& text) {
  auto time = parse_duration(text);
  if (!time) return tl::unexpected(std::move(time).error().within(option));
  return std::chrono::duration_cast<Micros>(*time);
}

Result<AzureSelection> selection_of(const ImportOptions& options, const Scenario& federation) {
  const auto start = time_of("--start", options.start);
  if (!start) return tl::unexpected(start.error());
  const auto duration = time_of("--duration", options.duration);
  if (!duration) return tl::unexpected(duration.error());
  AzureSelection selection{.functions = options.functions,
                           .start = *start,
                           .duration = *duration,
                           .rate_factor = options.rate_factor};
  for (const std::string& user : options.users) {
    const auto node = std::ranges::find_if(
        federation.nodes, [&user](const ScenarioNode& other) { return other.name.text() == user; });
    if (node == federation.nodes.end()) {
      return fail(ErrorCode::invalid_input,
                  fmt::format("--users: there is no node {}", in_quotes(user, 40)));
    }
    selection.nodes.push_back(static_cast<NodeIndex>(node - federation.nodes.begin()));
  }
  return selection;
}

/// Slots for each of the nodes, alike, so that the mean load keeps occupied_ratio_wanted of them busy.
void give_slots(Scenario& scenario) {
  double work_seconds = 0;
  for (const ScenarioLoad& load : scenario.loads) {
    const double mean = to_seconds(scenario.functions[load.function].service_time.mean);
    for (const Rate rate : load.rates)
      work_seconds += rate.per_second * to_seconds(load.step) * mean;
    for (const TraceCall& call : load.calls) {
      work_seconds += call.service_time ? to_seconds(*call.service_time) : mean;
    }
  }
  const double busy = work_seconds / to_seconds(scenario.duration);
  const double slots =
      std::ceil(busy / occupied_ratio_wanted / static_cast<double>(scenario.nodes.size()));
  for (ScenarioNode& node : scenario.nodes) {
    node.pools.front().slots =
        static_cast<int>(std::clamp(slots, 1.0, double{scenario_limits::slots_max}));
  }
}

using AddAzure = std::function<Result<void>(Scenario& scenario, const AzureSelection& selection)>;

Result<void> import_azure(const ImportOptions& options, const ScenarioOfName& scenario_of,
                          std::string_view year, const AddAzure& add) {
  auto scenario = federation_for(options, scenario_of);
  if (!scenario) return pass_on(std::move(scenario));
  const auto selection = selection_of(options, *scenario);
  if (!selection) return tl::unexpected(selection.error());
  scenario->name = fmt::format("azure-{}", year);
  scenario->summary =
      fmt::format("{} busiest functions of the Azure Functions trace of {}, {} from {}",
                  options.functions, year, options.duration, options.start);
  if (auto added = add(*scenario, *selection); !added) {
    return wrong_in(options.source, std::move(added).error());
  }
  if (options.slots == 0 && options.federation.empty()) give_slots(*scenario);
  return write_scenario(std::move(*scenario), options);
}

Result<void> import_azure_2019(const ImportOptions& options, const ScenarioOfName& scenario_of) {
  const auto invocations = read_source(options.source);
  if (!invocations) return tl::unexpected(invocations.error());
  Result<std::string> durations("");
  if (!options.durations.empty()) durations = read_source(options.durations);
  if (!durations) return tl::unexpected(durations.error());
  return import_azure(options, scenario_of, "2019",
                      [&](Scenario& scenario, const AzureSelection& selection) {
                        return add_azure_2019(scenario, *invocations, *durations, selection);
                      });
}

Result<void> import_azure_2021(const ImportOptions& options, const ScenarioOfName& scenario_of) {
  const auto calls = read_source(options.source);
  if (!calls) return tl::unexpected(calls.error());
  return import_azure(options, scenario_of, "2021",
                      [&](Scenario& scenario, const AzureSelection& selection) {
                        return add_azure_2021(scenario, *calls, selection);
                      });
}

// --- the commands

void add_output_file(CLI::App& command, ImportOptions& options) {
  command.add_option("--output", options.output,
                     "Write the scenario to this file (default: standard output)");
}

void add_azure_options(CLI::App& command, ImportOptions& options) {
  add_output_file(command, options);
  CLI::Option* federation =
      command.add_option("--federation", options.federation,
                         "A family's name or a file.toml whose nodes, links and faults to take");
  command.add_option("--nodes", options.nodes, "Alike and all linked, if there is no --federation")
      ->check(CLI::Range(1, 65))
      ->capture_default_str()
      ->excludes(federation);
  command
      .add_option("--slots", options.slots,
                  "Of each node (default: the federation's, or so many that the load keeps 60 % "
                  "of them busy)")
      ->check(CLI::Range(1, scenario_limits::slots_max));
  command.add_option("--seed", options.seed, "Of a --federation that is drawn")
      ->capture_default_str();
  command.add_option("--functions", options.functions, "So many of the busiest")
      ->check(CLI::Range(std::size_t{1}, scenario_limits::functions_max))
      ->capture_default_str();
  command.add_option("--start", options.start, "Of the window, from the start of the trace")
      ->capture_default_str();
  command.add_option("--duration", options.duration, "Of the window, up to 24h")
      ->capture_default_str();
  command
      .add_option("--users", options.users,
                  "Nodes whose users call, the busiest function's first (default: all)")
      ->delimiter(',');
}

}  // namespace

void add_sim_import_command(CLI::App& sim, ExitStatus& status,
                            const ScenarioOfName& scenario_of_name) {
  CLI::App* import =
      sim.add_subcommand("import", "Make a scenario file of what others recorded or generated");
  import->require_subcommand(1);
  import->footer("Example: dfaas sim import original instance.json --output mine.toml");

  CLI::App* original = import->add_subcommand(
      "original", "An instance or data files of the DFaaS prototype's simulators");
  auto original_options = std::make_shared<ImportOptions>();
  original
      ->add_option("path", original_options->paths,
                   "An instance of simulation/ or framework/, or data files, one node each")
      ->required();
  add_output_file(*original, *original_options);
  original->footer("Example: dfaas sim import original instance.json --output mine.toml");
  original->callback([original_options, &status] {
    if (auto done = import_original_files(*original_options); !done) {
      report_failure(status, done.error());
    }
  });

  CLI::App* azure_2019 = import->add_subcommand(
      "azure2019", "The Azure Functions trace of 2019: calls of each function and minute");
  auto options_2019 = std::make_shared<ImportOptions>();
  azure_2019
      ->add_option("invocations", options_2019->source, "invocations_per_function_md.anon.dNN.csv")
      ->required();
  azure_2019->add_option("durations", options_2019->durations,
                         "function_durations_percentiles.anon.dNN.csv; without, calls take 100 ms");
  add_azure_options(*azure_2019, *options_2019);
  azure_2019->add_option("--rate-factor", options_2019->rate_factor, "Times as many calls")
      ->capture_default_str();
  azure_2019->footer(
      "Example: dfaas sim import azure2019 invocations_per_function_md.anon.d01.csv --output "
      "azure.toml");
  azure_2019->callback([options_2019, scenario_of_name, &status] {
    if (auto done = import_azure_2019(*options_2019, scenario_of_name); !done) {
      report_failure(status, done.error());
    }
  });

  CLI::App* azure_2021 = import->add_subcommand(
      "azure2021", "The Azure Functions trace of 2021: each call with its time");
  auto options_2021 = std::make_shared<ImportOptions>();
  azure_2021
      ->add_option("path", options_2021->source,
                   "AzureFunctionsInvocationTraceForTwoWeeksJan2021.txt")
      ->required();
  add_azure_options(*azure_2021, *options_2021);
  azure_2021->add_option("--trace", options_2021->trace,
                         "Write the calls to this CSV file, and only its name to the scenario");
  azure_2021->footer(
      "Example: dfaas sim import azure2021 AzureFunctionsInvocationTraceForTwoWeeksJan2021.txt "
      "--output azure.toml --trace azure.csv");
  azure_2021->callback([options_2021, scenario_of_name, &status] {
    if (auto done = import_azure_2021(*options_2021, scenario_of_name); !done) {
      report_failure(status, done.error());
    }
  });
}

}  // namespace dfaas
