// SPDX-License-Identifier: AGPL-3.0-or-later
#include "live/pki/pki.hpp"
#include "live/pki/authority.hpp"

#include <cstdio>
#include <memory>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "apps/dfaas/commands.hpp"
#include "live/files/files.hpp"

namespace dfaas {
namespace {

struct PkiOptions {
  std::string directory;
  std::string organisation;
  std::string authority;
  std::string file;
  std::string output = "table";
  int authority_days = 3650;
  int node_days = 7;
};

Result<void> show(const PkiOptions& options) {
  const auto pem = read_file(options.file, 1U << 20U);
  if (!pem) return fail(pem.error().code, pem.error().message);
  const auto certificate = inspect_certificate(*pem);
  if (!certificate) {
    return fail(certificate.error().code, options.file + ": " + certificate.error().message);
  }
  if (options.output == "json") {
    fmt::print("{}\n", nlohmann::json{{"id", certificate->id.text()},
                                      {"common_name", certificate->common_name},
                                      {"organisation", certificate->organisation},
                                      {"fingerprint", certificate->fingerprint},
                                      {"not_before", certificate->not_before},
                                      {"not_after", certificate->not_after},
                                      {"expired", certificate->expired}}
                           .dump());
    return {};
  }
  fmt::print(
      "id            {}\nname          {}\norganisation  {}\nfingerprint   {}\n"
      "valid         {} to {}{}\n",
      certificate->id.empty() ? "(an authority)" : certificate->id.text(), certificate->common_name,
      certificate->organisation, certificate->fingerprint, certificate->not_before,
      certificate->not_after, certificate->expired ? " (not now)" : "");
  return {};
}

}  // namespace

void add_pki_command(CLI::App& root, ExitStatus& status) {
  CLI::App* pki = root.add_subcommand("pki", "Make and show certificates of authorities and nodes");
  pki->require_subcommand(1);
  auto options = std::make_shared<PkiOptions>();

  CLI::App* ca = pki->add_subcommand("ca", "The authority of an organisation");
  ca->require_subcommand(1);
  CLI::App* ca_create =
      ca->add_subcommand("create", "Make an authority: DIR/ca.crt and DIR/ca.key");
  ca_create->add_option("--dir", options->directory, "Where to put it")->required();
  ca_create->add_option("--organisation", options->organisation, "Its name: a-z, 0-9, '-'")
      ->required();
  ca_create->add_option("--days", options->authority_days, "Validity")->capture_default_str();
  ca_create->footer("Example: dfaas pki ca create --dir acme-ca --organisation acme");
  ca_create->callback([options, &status] {
    auto done =
        create_authority(options->directory, options->organisation, options->authority_days);
    if (!done) return report_failure(status, done.error());
    fmt::print("{}/ca.crt: give it to every member; keep ca.key to yourself\n", options->directory);
  });

  CLI::App* node = pki->add_subcommand("node", "The certificate of a node");
  node->require_subcommand(1);
  CLI::App* create = node->add_subcommand("create", "Make key and certificate in NODEDIR/pki");
  create->add_option("--dir", options->directory, "Directory of the node")->required();
  create->add_option("--ca", options->authority, "Directory of the authority")->required();
  create->add_option("--days", options->node_days, "Validity")->capture_default_str();
  create->footer("Example: dfaas pki node create --dir light --ca acme-ca");
  create->callback([options, &status] {
    const auto id =
        create_node_certificate(options->directory, options->authority, options->node_days);
    if (!id) return report_failure(status, id.error());
    fmt::print("{}\n", id->text());
  });

  CLI::App* renew = node->add_subcommand(
      "renew", "Make the next certificate for the key of a node, which may be running");
  renew->add_option("--dir", options->directory, "Directory of the node")->required();
  renew->add_option("--ca", options->authority, "Directory of the authority")->required();
  renew->add_option("--days", options->node_days, "Validity")->capture_default_str();
  renew->footer("Example: dfaas pki node renew --dir light --ca acme-ca");
  renew->callback([options, &status] {
    const auto id =
        renew_node_certificate(options->directory, options->authority, options->node_days);
    if (!id) return report_failure(status, id.error());
    fmt::print("{}\n", id->text());
  });

  CLI::App* show_command = pki->add_subcommand("show", "Show what a certificate says");
  show_command->add_option("file", options->file, "A PEM file")->required();
  add_output_option(*show_command, options->output);
  show_command->footer("Example: dfaas pki show light/pki/node.crt");
  show_command->callback([options, &status] {
    if (auto done = show(*options); !done) report_failure(status, done.error());
  });
}

}  // namespace dfaas
