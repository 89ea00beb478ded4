// SPDX-License-Identifier: AGPL-3.0-or-later
#include "live/runtime/replica_spec.hpp"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "core/base/text.hpp"
#include "core/openfaas/limits.hpp"

namespace dfaas {
namespace {

constexpr std::uint64_t processes_max = 32'768;  ///< Numbers that a kernel gives out by default.
constexpr std::string_view network_annotation = "dfaas.network";

/// May it use the node's network? Errors: invalid_input.
Result<bool> wants_host_network(const FunctionDeployment& deployment,
                                const ReplicaDefaults& defaults) {
  for (const auto& [name, value] : deployment.annotations) {
    const bool is_known =
        name == network_annotation || name == "dfaas.prefork" || name == "dfaas.watchdog";
    if (name.starts_with("dfaas.") && !is_known) {
      return fail(
          ErrorCode::invalid_input,
          fmt::format("annotation {} is not known: {}, dfaas.prefork and dfaas.watchdog are",
                      in_quotes(name), network_annotation));
    }
  }
  const auto found = deployment.annotations.find(std::string(network_annotation));
  if (found == deployment.annotations.end() || found->second == "none") return false;
  if (found->second != "host") {
    return fail(ErrorCode::invalid_input,
                fmt::format("annotation {}: {} is not none or host", network_annotation,
                            in_quotes(found->second)));
  }
  if (!defaults.host_network_allowed) {
    return fail(ErrorCode::invalid_input,
                fmt::format("annotation {}: host is not allowed on this node (setting "
                            "sandbox.host_network)",
                            network_annotation));
  }
  return true;
}

}  // namespace

std::uint64_t half_of_memory() {
  const long pages = ::sysconf(_SC_PHYS_PAGES);
  const long page_bytes = ::sysconf(_SC_PAGESIZE);
  return static_cast<std::uint64_t>(std::max(pages, 1L)) *
         static_cast<std::uint64_t>(std::max(page_bytes, 4096L)) / 2;
}

Result<void> check_image_tier(SandboxTier tier) {
  if (tier == SandboxTier::namespaces) return {};
  return fail(ErrorCode::invalid_input,
              fmt::format("images need the sandbox tier namespaces; this node has {} (see dfaas "
                          "status)",
                          to_text(tier)));
}

Result<ReplicaSpec> plan_replica(const FunctionDeployment& deployment,
                                 const WatchdogSettings& watchdog, std::string_view program,
                                 std::string root, int slots, const ReplicaDefaults& defaults,
                                 const SandboxSettings& settings, const SandboxReport& report) {
  const std::string scope = "function " + deployment.function.full();
  const auto refused = [&scope](Error error) {
    return tl::unexpected(std::move(error).within(scope));
  };
  auto limits = parse_limits("limits", deployment.limits);
  if (!limits) return refused(std::move(limits).error());
  // What a function asks for is not reserved for it, but must at least make sense.
  auto requests = parse_limits("requests", deployment.requests);
  if (!requests) return refused(std::move(requests).error());
  auto host_network = wants_host_network(deployment, defaults);
  if (!host_network) return refused(std::move(host_network).error());
  if (limits->cpu_millis && !report.cpu) {
    return refused({ErrorCode::invalid_input,
                    "limits.cpu cannot be enforced on this node: it has no control group of its "
                    "own for processors (see dfaas status)"});
  }
  if (!root.empty()) {
    if (auto possible = check_image_tier(report.tier); !possible) {
      return refused(std::move(possible).error());
    }
  }
  if (root.empty() && report.tier != SandboxTier::none && !is_visible(settings, program)) {
    return refused({ErrorCode::invalid_input,
                    fmt::format("no function can see {}: add its directory to the setting "
                                "sandbox.read_paths",
                                in_quotes(program))});
  }
  const bool listens = watchdog.mode == FunctionMode::http;
  if (listens && !watchdog.socket.empty() && report.tier == SandboxTier::landlock) {
    return refused(
        {ErrorCode::invalid_input,
         "upstream_url: no unix sockets in the sandbox of this node (tier landlock); use "
         "http://127.0.0.1:PORT"});
  }
  const std::uint64_t processes =
      std::uint64_t{defaults.processes_per_slot} * static_cast<std::uint64_t>(std::max(slots, 1));
  // Without a control group a limit is one of single processes; only what was asked for is set then.
  const std::uint64_t memory_default = report.memory ? defaults.memory_bytes : 0;
  return ReplicaSpec{.name = deployment.function.full(),
                     .root = std::move(root),
                     .memory_bytes = limits->memory_bytes.value_or(memory_default),
                     .cpu_millis = limits->cpu_millis.value_or(0),
                     .processes = static_cast<std::uint32_t>(std::min(processes, processes_max)),
                     .tmp_bytes = defaults.tmp_bytes,
                     .host_network = *host_network,
                     .port = listens && watchdog.socket.empty() ? watchdog.port : std::uint16_t{0}};
}

}  // namespace dfaas
