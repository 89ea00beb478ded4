// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// dfaas deploy, list, describe, invoke, remove: in the manner of faas-cli.
#include "apps/dfaas/client.hpp"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <iterator>
#include <memory>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "apps/dfaas/commands.hpp"
#include "apps/dfaas/nodes.hpp"
#include "core/base/text.hpp"
#include "core/model/function.hpp"
#include "core/openfaas/deployment.hpp"
#include "core/openfaas/status.hpp"
#include "live/files/files.hpp"
#include "live/tls/secure_fetch.hpp"

namespace dfaas {
namespace {

constexpr std::size_t answer_bytes_max = 1ULL << 30U;
constexpr Millis system_patience{15'000};
constexpr Millis invoke_patience{120'000};

struct ClientOptions {
  DeployTargets targets;
  std::string output = "table";
  std::string name;
  std::string file;
  std::string image = "host:";
  std::string process;
  std::string method = "POST";
  std::string data;
  std::vector<std::string> env;
  std::vector<std::string> labels;
  std::vector<std::string> annotations;
  std::vector<std::string> secrets;
  std::vector<std::string> headers;
  bool has_data = false;
  bool is_verbose = false;
};

Result<HttpReply> call_system_at(const GatewayAddress& gateway, const std::string& method,
                                 const std::string& target, std::string body) {
  auto reply = call_gateway(gateway, method, target, std::move(body), {}, system_patience);
  if (reply && reply->head.status == 401) {
    return fail(ErrorCode::denied,
                fmt::format("{} refused the credentials: give --dir DIR of the node, or "
                            "-g http://USER:PASSWORD@HOST:PORT",
                            gateway.endpoint.text()));
  }
  return reply;
}

Result<HttpReply> call_system(const ClientOptions& options, const std::string& method,
                              const std::string& target, std::string body) {
  const auto gateway = choose_gateway(options.targets.gateway, options.targets.directory, "");
  if (!gateway) return tl::unexpected(gateway.error());
  return call_system_at(*gateway, method, target, std::move(body));
}

tl::unexpected<Error> refused(const HttpReply& reply) {
  const std::string text(trim(reply.body.substr(0, reply.body.find('\n'))));
  const ErrorCode code = reply.head.status == 400   ? ErrorCode::invalid_input
                         : reply.head.status == 404 ? ErrorCode::not_found
                                                    : ErrorCode::unavailable;
  return fail(code,
              text.empty() ? fmt::format("the gateway answered {}", reply.head.status) : text);
}

Result<FunctionDeployment> wanted_deployment(const ClientOptions& options) {
  if (!options.file.empty()) {
    auto text = read_file(options.file, 1U << 20U);
    if (!text) return pass_on(std::move(text));
    return deployment_from_json(*text);
  }
  auto name = FunctionName::parse(options.name);
  if (!name) return pass_on(std::move(name));
  auto env = parse_pairs(options.env, "--env");
  if (!env) return pass_on(std::move(env));
  auto labels = parse_pairs(options.labels, "--label");
  if (!labels) return pass_on(std::move(labels));
  auto annotations = parse_pairs(options.annotations, "--annotation");
  if (!annotations) return pass_on(std::move(annotations));
  // Read again, so that what is wrong is told before anything is sent.
  return deployment_from_json(deployment_to_json({.function = *name,
                                                  .image = options.image,
                                                  .process = options.process,
                                                  .env = std::move(*env),
                                                  .labels = std::move(*labels),
                                                  .annotations = std::move(*annotations),
                                                  .secrets = options.secrets}));
}

Result<void> deploy(const ClientOptions& options) {
  auto deployment = wanted_deployment(options);
  if (!deployment) return pass_on(std::move(deployment));
  return deploy_everywhere(options.targets, *deployment);
}

Result<void> deploy_at(const GatewayAddress& gateway, const FunctionDeployment& deployment) {
  const std::string text = deployment_to_json(deployment);
  auto reply = call_system_at(gateway, "PUT", "/system/functions", text);
  if (reply && reply->head.status == 404) {
    reply = call_system_at(gateway, "POST", "/system/functions", text);
  }
  if (!reply) return pass_on(std::move(reply));
  if (reply->head.status >= 300) return refused(*reply);
  return {};
}

double megabytes(std::uint64_t bytes) { return static_cast<double>(bytes) / (1U << 20U); }

void print_table(const std::vector<FunctionStatus>& functions, bool is_verbose) {
  const std::string more_titles =
      is_verbose ? fmt::format("{:>8} {:>9}  ", "CPU m", "MEMORY MB") : "";
  fmt::print("{:30} {:>12} {:>9}  {}{}\n", "FUNCTION", "INVOCATIONS", "REPLICAS", more_titles,
             "IMAGE");
  for (const FunctionStatus& function : functions) {
    std::string more;
    if (is_verbose && function.usage) {
      more = fmt::format("{:>8.0f} {:>9.1f}  ", function.usage->cpu_millis,
                         megabytes(function.usage->memory_bytes));
    } else if (is_verbose) {
      more = fmt::format("{:>8} {:>9}  ", "-", "-");
    }
    fmt::print("{:30} {:>12.0f} {:>9}  {}{}\n", function.deployment.function.full(),
               function.invocation_count, function.available_replicas, more,
               function.deployment.image);
  }
}

Result<void> list(const ClientOptions& options) {
  const std::string target = options.is_verbose ? "/system/functions?usage=1" : "/system/functions";
  auto reply = call_system(options, "GET", target, "");
  if (!reply) return pass_on(std::move(reply));
  if (reply->head.status != 200) return refused(*reply);
  const auto functions = function_list_from_json(reply->body);
  if (!functions) return fail(functions.error().code, functions.error().message);
  if (options.output == "json") {
    fmt::print("{}\n", reply->body);
  } else {
    print_table(*functions, options.is_verbose);
  }
  return {};
}

Result<void> describe(const ClientOptions& options) {
  auto name = FunctionName::parse(options.name);
  if (!name) return pass_on(std::move(name));
  auto reply = call_system(options, "GET", "/system/function/" + name->full() + "?usage=1", "");
  if (!reply) return pass_on(std::move(reply));
  if (reply->head.status != 200) return refused(*reply);
  const auto status = function_status_from_json(reply->body);
  if (!status) return fail(status.error().code, status.error().message);
  if (options.output == "json") {
    fmt::print("{}\n", reply->body);
    return {};
  }
  fmt::print(
      "name         {}\nnamespace    {}\nimage        {}\nprocess      {}\ncreated      {}\n"
      "invocations  {:.0f}\nstate        {}\n",
      status->deployment.function.name(), status->deployment.function.space(),
      status->deployment.image, status->deployment.process, status->created_at,
      status->invocation_count, status->available_replicas > 0 ? "ready" : "not ready");
  if (!status->image_digest.empty()) {
    fmt::print("digest       {}\nsize         {:.1f} MB\n", status->image_digest,
               megabytes(status->image_bytes));
  }
  if (status->usage) {
    fmt::print("usage        {:.0f} m of a processor, {:.1f} MB of memory\n",
               status->usage->cpu_millis, megabytes(status->usage->memory_bytes));
  }
  for (const auto& [label, value] : status->deployment.labels) {
    fmt::print("label        {}={}\n", label, value);
  }
  return {};
}

Result<void> remove(const ClientOptions& options) {
  auto name = FunctionName::parse(options.name);
  if (!name) return pass_on(std::move(name));
  auto reply = call_system(options, "DELETE", "/system/functions", deletion_to_json(*name));
  if (!reply) return pass_on(std::move(reply));
  if (reply->head.status >= 300) return refused(*reply);
  fmt::print("removed {}\n", name->full());
  return {};
}

std::string read_stdin() {
  return {std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>()};
}

Result<void> invoke(const ClientOptions& options) {
  auto name = FunctionName::parse(options.name);
  if (!name) return pass_on(std::move(name));
  const auto gateway = choose_gateway(options.targets.gateway, options.targets.directory, "");
  if (!gateway) return fail(gateway.error().code, gateway.error().message);
  std::string body;
  if (options.has_data && options.data.starts_with('@')) {
    auto text = read_file(options.data.substr(1), answer_bytes_max);
    if (!text) return pass_on(std::move(text));
    body = std::move(*text);
  } else if (options.has_data) {
    body = options.data;
  } else if (::isatty(0) == 0) {
    body = read_stdin();
  }
  Headers headers;
  for (const std::string& text : options.headers) {
    const std::size_t colon = text.find(':');
    if (colon == std::string::npos || text.find_first_of("\r\n") != std::string::npos) {
      return fail(ErrorCode::invalid_input,
                  fmt::format("-H {} is not \"Name: value\"", in_quotes(text)));
    }
    headers.add(text.substr(0, colon), std::string(trim(text.substr(colon + 1))));
  }
  const auto reply = call_gateway(*gateway, options.method, "/function/" + name->full(),
                                  std::move(body), std::move(headers), invoke_patience);
  if (!reply) return fail(reply.error().code, reply.error().message);
  std::fwrite(reply->body.data(), 1, reply->body.size(), stdout);
  if (reply->head.status >= 300) {
    return fail(ErrorCode::unavailable,
                fmt::format("{} answered {}", name->full(), reply->head.status));
  }
  return {};
}

void add_gateway_options(CLI::App& command, DeployTargets& targets) {
  command.add_option("-g,--gateway", targets.gateway,
                     "http://[USER:PASSWORD@]HOST:PORT (default: that of --dir, else OPENFAAS_URL, "
                     "else http://127.0.0.1:8080)");
  command.add_option("--dir", targets.directory,
                     "Directory of the node, for its address and credentials");
}

}  // namespace

Result<GatewayAddress> parse_gateway(const std::string& url) {
  std::string_view rest = url;
  constexpr std::string_view scheme = "http://";
  constexpr std::string_view secure_scheme = "https://";
  const bool is_secure = rest.starts_with(secure_scheme);
  if (is_secure) rest.remove_prefix(secure_scheme.size());
  if (rest.starts_with(scheme)) rest.remove_prefix(scheme.size());
  while (rest.ends_with('/')) rest.remove_suffix(1);
  GatewayAddress address;
  if (const std::size_t at = rest.rfind('@'); at != std::string_view::npos) {
    const std::string_view login = rest.substr(0, at);
    const std::size_t colon = login.find(':');
    address.user = std::string(login.substr(0, colon));
    if (colon != std::string_view::npos) address.password = std::string(login.substr(colon + 1));
    rest = rest.substr(at + 1);
  }
  const bool has_port = rest.rfind(':') != std::string_view::npos && !rest.ends_with(']');
  const char* otherwise = is_secure ? ":443" : ":80";
  auto endpoint = Endpoint::parse(has_port ? std::string(rest) : std::string(rest) + otherwise);
  if (!endpoint) {
    return fail(ErrorCode::invalid_input,
                fmt::format("gateway {} is not http://[USER:PASSWORD@]HOST:PORT, nor with https",
                            in_quotes(url)));
  }
  address.host = std::string(rest);
  address.endpoint = std::move(*endpoint);
  address.is_secure = is_secure;
  return address;
}

Result<std::map<std::string, std::string>> parse_pairs(const std::vector<std::string>& texts,
                                                       std::string_view option) {
  std::map<std::string, std::string> pairs;
  for (const std::string& text : texts) {
    const std::size_t equals = text.find('=');
    if (equals == std::string::npos || equals == 0) {
      return fail(ErrorCode::invalid_input,
                  fmt::format("{} {} is not NAME=VALUE", option, in_quotes(text)));
    }
    pairs[text.substr(0, equals)] = text.substr(equals + 1);
  }
  return pairs;
}

Result<GatewayAddress> choose_gateway(const std::string& gateway, const std::string& directory,
                                      const std::string& otherwise) {
  if (gateway.empty() && !directory.empty()) return gateway_of_directory(directory);
  std::string url = gateway;
  if (url.empty()) {
    const char* set = std::getenv("OPENFAAS_URL");  // NOLINT: no thread of ours changes it.
    url = set != nullptr ? set : "";
  }
  if (url.empty()) url = otherwise;
  auto address = parse_gateway(url.empty() ? "http://127.0.0.1:8080" : url);
  if (!address || directory.empty() || !address->user.empty()) return address;
  auto node = gateway_of_directory(directory);
  if (!node) return node;
  address->user = node->user;
  address->password = node->password;
  return address;
}

void add_target_options(CLI::App& command, DeployTargets& targets) {
  add_gateway_options(command, targets);
  command.add_option("--nodes", targets.nodes,
                     "all, or NAME,...: every node of the file, or these, instead of one");
  command
      .add_option("--nodes-file", targets.nodes_file,
                  "A node a line: NAME and its address or directory")
      ->capture_default_str();
}

Result<void> deploy_everywhere(const DeployTargets& targets, const FunctionDeployment& deployment) {
  const std::string name = deployment.function.full();
  if (targets.nodes.empty()) {
    auto gateway = choose_gateway(targets.gateway, targets.directory, targets.otherwise);
    if (!gateway) return pass_on(std::move(gateway));
    if (auto done = deploy_at(*gateway, deployment); !done) return done;
    fmt::print("deployed {}\n", name);
    return {};
  }
  auto nodes = choose_nodes(targets.nodes, targets.nodes_file);
  if (!nodes) return pass_on(std::move(nodes));
  std::size_t failures = 0;
  Error last{ErrorCode::unavailable, ""};
  for (const NamedGateway& node : *nodes) {
    auto done = deploy_at(node.address, deployment);
    if (done) {
      fmt::print("deployed {} to {}\n", name, node.name);
      continue;
    }
    ++failures;
    last = done.error();
    fmt::print(stderr, "dfaas: {} was not deployed to {}: {}\n", name, node.name, last.message);
  }
  if (failures == 0) return {};
  return fail(last.code,
              fmt::format("{} of {} nodes did not take {}", failures, nodes->size(), name));
}

Result<HttpReply> call_gateway(const GatewayAddress& gateway, const std::string& method,
                               const std::string& target, std::string body, Headers headers,
                               Millis patience) {
  RequestHead head{.method = method, .target = target, .headers = std::move(headers)};
  head.headers.set("Host", gateway.host);
  if (!gateway.user.empty()) {
    head.headers.set("Authorization",
                     "Basic " + base64_encode(gateway.user + ":" + gateway.password));
  }
  if (!gateway.is_secure) {
    return fetch_blocking(gateway.endpoint, std::move(head), std::move(body), patience,
                          answer_bytes_max);
  }
  const SecurePlace place{.address = gateway.endpoint, .id = {}, .own = {}};
  return secure_fetch_blocking(place, std::move(head), std::move(body), patience, answer_bytes_max);
}

Result<std::string> get_local(const std::string& directory, const std::string& socket,
                              const std::string& target) {
  return call_local(directory, socket, "GET", target, "");
}

Result<std::string> call_local(const std::string& directory, const std::string& socket,
                               const std::string& method, const std::string& target,
                               const std::string& body) {
  RequestHead head{.method = method, .target = target};
  head.headers.add("Host", "local");
  auto reply = fetch_blocking(Endpoint::unix_socket(socket), head, body, Millis{3000}, 64U << 20U);
  if (!reply) {
    return fail(reply.error().code,
                fmt::format("no running node in {} ({}): start it with dfaas node "
                            "run --dir {}",
                            directory, reply.error().message, directory));
  }
  if (reply->head.status != 200) return refused(*reply);
  return std::move(reply->body);
}

void add_client_commands(CLI::App& root, ExitStatus& status) {
  const auto add = [&root, &status](const char* name, const char* summary, const char* example,
                                    Result<void> (*run)(const ClientOptions&)) {
    CLI::App* command = root.add_subcommand(name, summary);
    auto options = std::make_shared<ClientOptions>();
    add_gateway_options(*command, options->targets);
    command->footer(std::string("Example: ") + example);
    command->callback([options, run, command, &status] {
      const auto* data = command->get_option_no_throw("-d");
      options->has_data = data != nullptr && data->count() > 0;
      if (auto done = run(*options); !done) report_failure(status, done.error());
    });
    return std::pair(command, options);
  };
  {
    auto [command, options] =
        add("deploy", "Deploy or update a function",
            "dfaas deploy figlet --dir light -g http://127.0.0.1:8081 --process figlet", deploy);
    command->add_option("name", options->name, "NAME or NAME.NAMESPACE");
    command->add_option("-f,--file", options->file,
                        "A FunctionDeployment as JSON, instead of options");
    command
        ->add_option("--image", options->image,
                     "host:, host:PROGRAM, dir:NAME, oci:PATH[:TAG], docker-archive:FILE[:REF] "
                     "or a registry's name")
        ->capture_default_str();
    command->add_option("--process,--fprocess", options->process,
                        "Command line, on this node's programs");
    command->add_option("-e,--env", options->env, "NAME=VALUE; may be repeated")
        ->allow_extra_args(false);
    command
        ->add_option("-l,--label", options->labels,
                     "NAME=VALUE, such as dfaas.slots=4; may be repeated")
        ->allow_extra_args(false);
    command->add_option("--annotation", options->annotations, "NAME=VALUE; may be repeated")
        ->allow_extra_args(false);
    command->add_option("--secret", options->secrets, "A secret of the node; may be repeated")
        ->allow_extra_args(false);
    command->add_option("--nodes", options->targets.nodes,
                        "all, or NAME,...: every node of the file, or these, instead of one");
    command
        ->add_option("--nodes-file", options->targets.nodes_file,
                     "A node a line: NAME and its address or directory")
        ->capture_default_str();
  }
  {
    auto [command, options] =
        add("list", "List functions", "dfaas list --dir light -g http://127.0.0.1:8081", list);
    command->add_flag("-v,--verbose", options->is_verbose,
                      "With the processor time (thousandths of a processor) and memory in use");
    add_output_option(*command, options->output);
  }
  {
    auto [command, options] =
        add("describe", "Describe a function",
            "dfaas describe figlet --dir light -g http://127.0.0.1:8081", describe);
    command->add_option("name", options->name, "NAME or NAME.NAMESPACE")->required();
    add_output_option(*command, options->output);
  }
  {
    auto [command, options] =
        add("invoke", "Call a function: standard input is the request, standard output the answer",
            "echo hello | dfaas invoke figlet -g http://127.0.0.1:8081", invoke);
    command->add_option("name", options->name, "NAME or NAME.NAMESPACE")->required();
    command->add_option("-d,--data", options->data,
                        "Request body, or @FILE, instead of standard input");
    command->add_option("-X,--method", options->method, "HTTP method")->capture_default_str();
    command->add_option("-H,--header", options->headers, "\"Name: value\"; may be repeated")
        ->allow_extra_args(false);
  }
  {
    auto [command, options] =
        add("remove", "Remove a function",
            "dfaas remove figlet --dir light -g http://127.0.0.1:8081", remove);
    command->alias("rm");
    command->add_option("name", options->name, "NAME or NAME.NAMESPACE")->required();
  }
}

}  // namespace dfaas
