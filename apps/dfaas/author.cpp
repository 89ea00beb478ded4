// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// dfaas new, up, store: from an empty directory to a function that runs, without a network.
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "apps/dfaas/client.hpp"
#include "apps/dfaas/commands.hpp"
#include "apps/dfaas/function_templates.hpp"
#include "core/base/text.hpp"
#include "core/json/fields.hpp"
#include "core/stack/stack_file.hpp"
#include "live/files/files.hpp"

namespace dfaas {

extern const std::string_view store_catalogue;

namespace {

namespace fs = std::filesystem;

// --- new

struct NewOptions {
  std::string name;
  std::string lang;
  std::string file = "stack.yml";
};

Result<void> make_new(const NewOptions& options) {
  auto name = FunctionName::parse(options.name, "");
  if (!name) return pass_on(std::move(name));
  auto found = find_template(options.lang);
  if (!found) return pass_on(std::move(found));
  const FunctionTemplate& chosen = **found;
  const fs::path stack = options.file;
  const fs::path handler = stack.parent_path() / name->name();
  std::error_code error;
  if (fs::exists(handler, error)) {
    return fail(ErrorCode::conflict, fmt::format("{} exists already", handler.string()));
  }
  std::string before;
  if (fs::exists(stack, error)) {
    auto text = read_file(stack, 1U << 20U);
    if (!text) return pass_on(std::move(text));
    before = std::move(*text);
  }
  auto after = add_function(before, *name, chosen.lang, "./" + name->name());
  if (!after) return tl::unexpected(std::move(after).error().within(stack.string()));
  if (auto made = make_directory(handler, 0755); !made) return made;
  for (const TemplateFile& file : chosen.files) {
    if (!file.is_authors) continue;
    if (auto written = create_file(handler / file.name, file.text, 0644); !written) return written;
  }
  if (auto written = write_file(stack, *after, 0644); !written) return written;
  fmt::print("{}\n", handler.string());
  fmt::print(stderr, "Test it with: cd {} && {}\nDeploy it with: dfaas up -f {}\n",
             handler.string(), chosen.test, stack.string());
  return {};
}

// --- up

struct UpOptions {
  std::string file = "stack.yml";
  std::vector<std::string> only;
  bool skip_build = false;
  bool skip_deploy = false;
  DeployTargets targets;
};

/// Runs a program and waits for it; its output goes to ours. Errors: unavailable with its exit status.
Result<void> run_program(std::vector<std::string> words, const fs::path& directory) {
  std::vector<char*> arguments;
  arguments.reserve(words.size() + 1);
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_addchdir_np(&actions, directory.c_str());
  ::posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
  pid_t child = -1;
  const int error =
      ::posix_spawnp(&child, words.front().c_str(), &actions, nullptr, arguments.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  if (error != 0) {
    return fail(ErrorCode::unavailable,
                fmt::format("{}: {}", words.front(),
                            std::error_code(error, std::generic_category()).message()));
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
  return fail(ErrorCode::unavailable, fmt::format("{} failed", words.front()));
}

bool is_test(const fs::path& file) { return file.stem().string().ends_with("_test"); }

/// The .cpp files of a built directory, without tests, into the program `run`.
Result<void> compile(const FunctionTemplate& chosen, const fs::path& directory) {
  std::vector<std::string> words{
      std::string(chosen.compile), "-std=c++17", "-O2", "-Wall", "-o", "run"};
  std::vector<std::string> sources;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(directory, error)) {
    if (entry.path().extension() == ".cpp" && !is_test(entry.path())) {
      sources.push_back(entry.path().filename().string());
    }
  }
  std::ranges::sort(sources);
  words.insert(words.end(), sources.begin(), sources.end());
  return run_program(std::move(words), directory);
}

/// `path` as one word of a command line. Errors: invalid_input.
Result<std::string> quoted_path(const fs::path& path) {
  const std::string text = path.string();
  if (text.find_first_of("'\n") != std::string::npos) {
    return fail(ErrorCode::invalid_input,
                fmt::format("{} holds a quote or an end of line", in_quotes(text)));
  }
  const bool is_plain = text.find_first_of(" \t\"\\") == std::string::npos;
  return is_plain ? text : "'" + text + "'";
}

/// Puts together what runs, in build/NAME beside the stack file, and says how it is run.
Result<void> build(const fs::path& base, StackFunction& function) {
  auto found = find_template(function.lang);
  if (!found) {
    return fail(ErrorCode::not_found,
                found.error().message + "; with skip_build: true its image is deployed as it is");
  }
  const FunctionTemplate& chosen = **found;
  const fs::path source = base / function.handler;
  std::error_code error;
  if (function.handler.empty() || !fs::is_directory(source, error)) {
    return fail(ErrorCode::not_found,
                fmt::format("handler {} is not a directory", in_quotes(function.handler)));
  }
  const fs::path target =
      fs::absolute(base / "build" / function.deployment.function.name()).lexically_normal();
  fs::remove_all(target, error);
  fs::create_directories(target, error);
  if (!error) fs::copy(source, target, fs::copy_options::recursive, error);
  if (error) {
    return fail(ErrorCode::unavailable, fmt::format("{}: {}", target.string(), error.message()));
  }
  for (const TemplateFile& file : chosen.files) {
    if (file.is_authors) continue;
    if (auto written = write_file(target / file.name, file.text, 0644); !written) return written;
  }
  if (!chosen.compile.empty()) {
    if (auto done = compile(chosen, target); !done) return done;
  }
  auto path = quoted_path(target);
  if (!path) return pass_on(std::move(path));
  std::string command(chosen.run);
  // One word: "'/a b'/run" is joined as a shell would.
  command.replace(command.find('@'), 1, *path);
  function.deployment.image = "host:";
  function.deployment.process = command;
  fmt::print(stderr, "built {}\n", target.string());
  return {};
}

Result<void> add_environment_files(const fs::path& base, StackFunction& function) {
  for (const std::string& name : function.environment_files) {
    auto text = read_file(base / name, 1U << 20U);
    if (!text) return pass_on(std::move(text));
    auto values = parse_environment_file(*text);
    if (!values) return tl::unexpected(std::move(values).error().within(name));
    function.deployment.env.merge(*values);  // The stack file itself wins.
  }
  return {};
}

std::optional<std::string> environment_value(std::string_view name) {
  const char* value = std::getenv(std::string(name).c_str());  // NOLINT: no thread of ours sets it.
  return value == nullptr ? std::nullopt : std::optional<std::string>(value);
}

Result<void> up(const UpOptions& options) {
  auto text = read_file(options.file, 1U << 20U);
  if (!text) return pass_on(std::move(text));
  auto stack = parse_stack(*text, environment_value);
  if (!stack) return tl::unexpected(std::move(stack).error().within(options.file));
  for (const std::string& name : options.only) {
    const bool is_known = std::ranges::any_of(stack->functions, [&name](const auto& function) {
      return function.deployment.function.name() == name;
    });
    if (!is_known) {
      return fail(ErrorCode::not_found, fmt::format("{} has no function {}", options.file, name));
    }
  }
  std::erase_if(stack->functions, [&options](const StackFunction& function) {
    return !options.only.empty() &&
           std::ranges::find(options.only, function.deployment.function.name()) ==
               options.only.end();
  });
  const fs::path base = fs::path(options.file).parent_path();
  // All are built before the first is deployed: half a stack helps nobody.
  for (StackFunction& function : stack->functions) {
    const std::string scope = "function " + function.deployment.function.name();
    if (auto added = add_environment_files(base, function); !added) {
      return tl::unexpected(std::move(added).error().within(scope));
    }
    if (options.skip_build || function.skip_build || function.lang.empty()) continue;
    if (auto built = build(base, function); !built) {
      return tl::unexpected(std::move(built).error().within(scope));
    }
  }
  if (options.skip_deploy) return {};
  DeployTargets targets = options.targets;
  targets.otherwise = stack->gateway;
  for (const StackFunction& function : stack->functions) {
    if (auto done = deploy_everywhere(targets, function.deployment); !done) return done;
  }
  return {};
}

// --- store

struct StoreItem {
  std::string title;
  std::string description;
  FunctionDeployment deployment;
};

/// The catalogue that comes with the program.
std::vector<StoreItem> store_items() {
  std::vector<StoreItem> items;
  const nlohmann::json catalogue = nlohmann::json::parse(store_catalogue);
  for (const nlohmann::json& entry : catalogue["functions"]) {
    using Map = std::map<std::string, std::string>;
    items.push_back(
        {.title = entry["title"],
         .description = entry["description"],
         .deployment = {.function = FunctionName::parse(std::string(entry["name"])).value(),
                        .image = entry["images"]["x86_64"],
                        .process = entry["fprocess"],
                        .env = entry.value("environment", Map{}),
                        .labels = entry.value("labels", Map{}),
                        .annotations = entry.value("annotations", Map{})}});
  }
  return items;
}

Result<void> store_list(const std::string& output) {
  if (output == "json") {
    fmt::print("{}", store_catalogue);
    return {};
  }
  fmt::print("{:16} {}\n", "FUNCTION", "DESCRIPTION");
  for (const StoreItem& item : store_items()) {
    fmt::print("{:16} {}\n", item.deployment.function.name(), item.description);
  }
  return {};
}

struct StoreDeploy {
  std::string item;
  std::string name;
  std::vector<std::string> env;
  std::vector<std::string> labels;
  DeployTargets targets;
};

Result<void> store_deploy(const StoreDeploy& options) {
  const auto items = store_items();
  const auto found = std::ranges::find_if(items, [&options](const StoreItem& item) {
    return equal_ignoring_case(item.deployment.function.name(), options.item) ||
           equal_ignoring_case(item.title, options.item);
  });
  if (found == items.end()) {
    return fail(ErrorCode::not_found,
                fmt::format("the store has no {}: see dfaas store list", in_quotes(options.item)));
  }
  FunctionDeployment deployment = found->deployment;
  if (!options.name.empty()) {
    auto name = FunctionName::parse(options.name);
    if (!name) return pass_on(std::move(name));
    deployment.function = std::move(*name);
  }
  auto env = parse_pairs(options.env, "--env");
  if (!env) return pass_on(std::move(env));
  for (auto& [name, value] : *env) deployment.env[name] = value;
  auto labels = parse_pairs(options.labels, "--label");
  if (!labels) return pass_on(std::move(labels));
  for (auto& [name, value] : *labels) deployment.labels[name] = value;
  return deploy_everywhere(options.targets, deployment);
}

void add_store_command(CLI::App& root, ExitStatus& status) {
  CLI::App* store = root.add_subcommand("store", "Functions that come with dfaas");
  store->require_subcommand(1);
  CLI::App* list = store->add_subcommand("list", "List them");
  auto output = std::make_shared<std::string>("table");
  add_output_option(*list, *output);
  list->footer("Example: dfaas store list");
  list->callback([output, &status] {
    if (auto done = store_list(*output); !done) report_failure(status, done.error());
  });
  CLI::App* deploy = store->add_subcommand("deploy", "Deploy one of them");
  auto options = std::make_shared<StoreDeploy>();
  deploy->add_option("function", options->item, "Name or title in the store")->required();
  deploy->add_option("--name", options->name, "Another name for it: NAME or NAME.NAMESPACE");
  deploy->add_option("-e,--env", options->env, "NAME=VALUE; may be repeated")
      ->allow_extra_args(false);
  deploy->add_option("-l,--label", options->labels, "NAME=VALUE; may be repeated")
      ->allow_extra_args(false);
  add_target_options(*deploy, options->targets);
  deploy->footer("Example: dfaas store deploy figlet --dir light");
  deploy->callback([options, &status] {
    if (auto done = store_deploy(*options); !done) report_failure(status, done.error());
  });
}

}  // namespace

void add_author_commands(CLI::App& root, ExitStatus& status) {
  CLI::App* fresh = root.add_subcommand("new", "Start a function: a handler, a test, stack.yml");
  auto made = std::make_shared<NewOptions>();
  fresh->add_option("name", made->name, "Name of the function and of its directory")->required();
  fresh->add_option("--lang", made->lang, "python, node, bash or c++")->required();
  fresh->add_option("-f,--file", made->file, "Stack file to make or to add to")
      ->capture_default_str();
  fresh->footer("Example: dfaas new upper --lang python");
  fresh->callback([made, &status] {
    if (auto done = make_new(*made); !done) report_failure(status, done.error());
  });

  CLI::App* command = root.add_subcommand("up", "Build and deploy the functions of a stack.yml");
  auto options = std::make_shared<UpOptions>();
  command->add_option("-f,--file", options->file, "Stack file")->capture_default_str();
  command->add_option("--filter", options->only, "Only this function; may be repeated")
      ->allow_extra_args(false);
  command->add_flag("--skip-build", options->skip_build, "Deploy images as the file names them");
  command->add_flag("--skip-deploy", options->skip_deploy, "Only build");
  add_target_options(*command, options->targets);
  command->footer("Example: dfaas up -f stack.yml --dir light");
  command->callback([options, &status] {
    if (auto done = up(*options); !done) report_failure(status, done.error());
  });
  add_store_command(root, status);
}

}  // namespace dfaas
