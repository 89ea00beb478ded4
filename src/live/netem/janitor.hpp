// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// A process that removes what is left when this one is gone, however it went: directories, control groups.
///
/// Use         Made before any thread. What shall go is said with add_*(); it goes when this object does, or
///             the program.
/// Guarantees  The destructor returns when all is gone, or cannot be removed within `patience`.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>

#include "core/base/instant.hpp"
#include "core/base/result.hpp"

namespace dfaas {

class Janitor {
 public:
  static Result<std::unique_ptr<Janitor>> start();
  ~Janitor();
  Janitor(const Janitor&) = delete;
  Janitor& operator=(const Janitor&) = delete;
  Janitor(Janitor&&) = delete;
  Janitor& operator=(Janitor&&) = delete;

  /// With all that is in it.
  void add_directory(const std::string& path);
  /// A control group with those below it, once no process is in them.
  void add_group(const std::string& path);

  static constexpr Millis patience{5'000};

 private:
  Janitor(pid_t pid, int pipe) : pid_(pid), pipe_(pipe) {}
  pid_t pid_;
  int pipe_;
};

}  // namespace dfaas
