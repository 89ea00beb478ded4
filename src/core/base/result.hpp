// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Errors as values: the one way a function in this codebase says "no".
///
/// Shape   Result<T> holds either a T or an Error; Result<void> is "done" or an Error.
/// Errors  An Error has a code (for code) and a message (for people), to which each caller that
///         knows more than its callee adds its scope with within().
/// Rule    Broken input, peers and disks are Errors. Broken code is DFAAS_ASSERT, and aborts.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include <tl/expected.hpp>

namespace dfaas {

enum class ErrorCode : std::uint8_t {
  invalid_input,  ///< The caller sent something malformed; retrying cannot help.
  not_found,      ///< The named function, node, file or setting does not exist.
  denied,         ///< The other side may not do this: wrong credentials, certificate or policy.
  conflict,       ///< It exists already, or something else holds it.
  unavailable,    ///< A peer, process or disk did not answer; retrying may help.
  timed_out,      ///< The deadline passed first; the work may still have happened.
  overloaded,     ///< A bounded queue was full; the caller should shed or back off.
};

struct Error {
  ErrorCode code;
  std::string message;

  /// Returns this error with `scope` in front: "bind: port 8080 in use".
  Error within(std::string_view scope) && {
    message.insert(0, std::string(scope) + ": ");
    return std::move(*this);
  }

  friend bool operator==(const Error&, const Error&) = default;
};

template <class T>
using Result = tl::expected<T, Error>;

inline tl::unexpected<Error> fail(ErrorCode code, std::string message) {
  return tl::unexpected<Error>(Error{code, std::move(message)});
}

/// Hands an error on, unchanged: `if (!text) return pass_on(std::move(text));`
template <class T>
tl::unexpected<Error> pass_on(Result<T>&& failed) {
  return tl::unexpected<Error>(std::move(failed).error());
}

}  // namespace dfaas
