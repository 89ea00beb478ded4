// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Completion for shells, written from the very table of commands that the program parses with.
#include <functional>
#include <memory>

#include <fmt/format.h>

#include "apps/dfaas/commands.hpp"
#include "core/settings/settings.hpp"

namespace dfaas {
namespace {

/// What may follow the words `path` of a command line.
struct Place {
  std::string path;
  std::vector<const CLI::App*> commands;
  std::vector<const CLI::Option*> options;
};

void add_places(const CLI::App& command, const std::string& path, std::vector<Place>& places) {
  Place place{.path = path,
              .commands = command.get_subcommands([](const CLI::App*) { return true; }),
              .options = command.get_options(
                  [](const CLI::Option* option) { return !option->get_lnames().empty(); })};
  const auto commands = place.commands;
  places.push_back(std::move(place));
  for (const CLI::App* below : commands) {
    add_places(*below, path + " " + below->get_name(), places);
  }
}

std::string words_of(const Place& place) {
  std::string words;
  for (const CLI::App* command : place.commands) words += command->get_name() + " ";
  for (const CLI::Option* option : place.options) words += "--" + option->get_lnames()[0] + " ";
  words.pop_back();
  return words;
}

std::string setting_names(std::string_view after_each) {
  std::string names;
  for (const Setting& setting : settings_table()) {
    names += fmt::format("{}{}{}", names.empty() ? "" : " ", setting.name, after_each);
  }
  return names;
}

/// Patterns of a case: every place below the program itself, and for every place the words that may follow.
struct Cases {
  std::string paths;
  std::string words;
};

/// `assignment` with the words in the place of "{}".
Cases cases_of(const std::vector<Place>& places, const char* assignment) {
  Cases cases;
  for (const Place& place : places) {
    if (place.path != "dfaas") {
      cases.paths += fmt::format("{}'{}'", cases.paths.empty() ? "" : " | ", place.path);
    }
    cases.words += fmt::format("    '{}') {} ;;\n", place.path,
                               fmt::format(fmt::runtime(assignment), words_of(place)));
  }
  return cases;
}

std::string bash_completion(const std::vector<Place>& places) {
  const Cases cases = cases_of(places, "words='{}'");
  return fmt::format(R"(_dfaas() {{
  local word=${{COMP_WORDS[COMP_CWORD]}} path=dfaas words= i
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "$path ${{COMP_WORDS[i]}}" in
      {}) path+=" ${{COMP_WORDS[i]}}" ;;
    esac
  done
  case $path in
{}  esac
  if [[ $path == 'dfaas config explain' && $word != -* ]]; then words='{}'; fi
  if [[ ${{COMP_WORDS[COMP_CWORD - 1]}} == --set ]]; then
    words='{}'
    compopt -o nospace
  fi
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
}}
complete -o default -F _dfaas dfaas
)",
                     cases.paths, cases.words, setting_names(""), setting_names("="));
}

/// A file of functions for zsh to load when it needs them, or to source.
std::string zsh_completion(const std::vector<Place>& places) {
  const Cases cases = cases_of(places, "offer=({})");
  return fmt::format(R"(#compdef dfaas
_dfaas() {{
  local place=dfaas i
  local -a offer
  for ((i = 2; i < CURRENT; i++)); do
    case "$place ${{words[i]}}" in
      {}) place+=" ${{words[i]}}" ;;
    esac
  done
  case $place in
{}  esac
  if [[ $place == 'dfaas config explain' && ${{words[CURRENT]}} != -* ]]; then offer=({}); fi
  if [[ ${{words[CURRENT-1]}} == --set ]]; then
    compadd -S '' -- {}
    return
  fi
  compadd -- $offer || _files
}}
if [[ ${{funcstack[1]}} == _dfaas ]]; then _dfaas "$@"; else compdef _dfaas dfaas; fi
)",
                     cases.paths, cases.words, setting_names(""), setting_names("="));
}

std::string in_fish_quotes(std::string_view text) {
  std::string quoted = "'";
  for (const char letter : text) {
    if (letter == '\'' || letter == '\\') quoted += '\\';
    quoted += letter;
  }
  return quoted + "'";
}

std::string fish_completion(const std::vector<Place>& places) {
  std::string text = R"(function __dfaas_at
    set -l words
    for word in (commandline -opc)
        string match -q -- '-*' $word; or set -a words (path basename $word)
    end
    test "$words" = "$argv"
end
)";
  for (const Place& place : places) {
    const std::string condition = in_fish_quotes("__dfaas_at " + place.path);
    for (const CLI::App* command : place.commands) {
      text += fmt::format("complete -c dfaas -f -n {} -a {} -d {}\n", condition,
                          command->get_name(), in_fish_quotes(command->get_description()));
    }
    for (const CLI::Option* option : place.options) {
      text += fmt::format("complete -c dfaas -n {} -l {} -d {}\n", condition,
                          option->get_lnames()[0], in_fish_quotes(option->get_description()));
    }
  }
  return text;
}

}  // namespace

void add_completion_command(CLI::App& root, ExitStatus& /*status*/) {
  CLI::App* command = root.add_subcommand("completion", "Print completion for a shell");
  auto shell = std::make_shared<std::string>();
  command->add_option("shell", *shell, "bash, zsh or fish")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  command->footer("Example: source <(dfaas completion bash)");
  command->callback([shell, &root] {
    std::vector<Place> places;
    add_places(root, "dfaas", places);
    const auto text = *shell == "bash"  ? bash_completion(places)
                      : *shell == "zsh" ? zsh_completion(places)
                                        : fish_completion(places);
    fmt::print("{}", text);
  });
}

}  // namespace dfaas
