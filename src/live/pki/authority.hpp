// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// What makes certificates: the authority of an organisation, and the keys and requests of nodes.
///
/// Form    A directory with `ca.crt` and `ca.key` (0600). Keys are P-256. A node asks with a request (PKCS #10)
///         that its key signed; the name that it gets is the id that follows from the key, whatever it asks for.
/// Errors  One sentence that names the file and what is wrong with it.
#pragma once

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "core/base/names.hpp"
#include "core/base/result.hpp"

namespace dfaas {

/// `<dir>/ca.crt` and `<dir>/ca.key` (0600). Errors: conflict when one exists.
Result<void> create_authority(const std::filesystem::path& directory, std::string_view organisation,
                              int days);

class Authority {
 public:
  static Result<Authority> open(const std::filesystem::path& directory);
  ~Authority();
  Authority(Authority&&) noexcept;
  Authority& operator=(Authority&&) noexcept;
  Authority(const Authority&) = delete;
  Authority& operator=(const Authority&) = delete;

  [[nodiscard]] const std::string& organisation() const;
  [[nodiscard]] const std::string& certificate() const;  ///< PEM.

  /// A certificate (PEM) for the node whose key signed the request. Errors: invalid_input.
  [[nodiscard]] Result<std::string> certify(std::string_view request,
                                            std::chrono::minutes validity) const;
  /// ECDSA over SHA-256, base64.
  [[nodiscard]] Result<std::string> sign(std::string_view text) const;

 private:
  struct State;
  explicit Authority(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

/// A new private key, PEM.
std::string make_key();
/// A request (PEM) signed by the key. Errors: invalid_input where `key` is none.
Result<std::string> make_request(std::string_view key);
/// Whose request it is. Errors: invalid_input when it is no request, or not signed by its key.
Result<NodeId> id_in_request(std::string_view request);

/// Key, certificate and authority of a new node. `<dir>/pki/node.key`, `node.crt`, `node.pem` (certificate and
/// key, 0600) and `ca.pem` (the authority, beside those that are there). Errors: conflict when a key exists.
Result<NodeId> create_node_certificate(const std::filesystem::path& node_directory,
                                       const std::filesystem::path& authority_directory, int days);

/// A new certificate for the key that the node has, in `<dir>/pki/next.pem`: a running agent tells the
/// neighbours and changes over, else the next start does. Errors: not_found without a key.
Result<NodeId> renew_node_certificate(const std::filesystem::path& node_directory,
                                      const std::filesystem::path& authority_directory, int days);

/// `<dir>/pki/next.pem` becomes `node.crt` and `node.pem`, and is gone. Errors: unavailable.
Result<void> use_next_certificate(const std::filesystem::path& node_directory);

}  // namespace dfaas
