// SPDX-License-Identifier: AGPL-3.0-or-later
#include "live/gateway/secret_store.hpp"

#include <algorithm>
#include <system_error>

#include <fmt/format.h>

#include "live/files/files.hpp"

namespace dfaas {
namespace {

namespace fs = std::filesystem;

tl::unexpected<Error> unknown(const SecretName& secret) {
  return fail(ErrorCode::not_found,
              fmt::format("no secret {} in namespace {}", secret.name(), secret.space()));
}

tl::unexpected<Error> failed(const fs::path& path, const std::error_code& error) {
  return fail(ErrorCode::unavailable, fmt::format("{}: {}", path.string(), error.message()));
}

}  // namespace

Result<SecretStore> SecretStore::open(fs::path root) {
  for (const fs::path& directory : {root, root / "values", root / "granted", root / "draft"}) {
    if (auto made = make_directory(directory, 0700); !made) return pass_on(std::move(made));
  }
  return SecretStore(std::move(root));
}

fs::path SecretStore::value_file(const SecretName& secret) const {
  return root_ / "values" / secret.space() / secret.name();
}

fs::path SecretStore::granted(const FunctionName& function) const {
  return root_ / "granted" / function.full();
}

/// Written beside all secrets, as "x.new" may be the name of another one.
Result<void> SecretStore::put_file(const fs::path& file, std::string_view value) const {
  const fs::path draft = root_ / "draft" / "value";
  if (auto written = write_file(draft, value, 0600); !written) return written;
  std::error_code error;
  fs::rename(draft, file, error);
  if (error) return failed(file, error);
  return {};
}

Result<void> SecretStore::create(const SecretName& secret, std::string_view value) {
  if (has(secret)) {
    return fail(ErrorCode::conflict,
                fmt::format("secret {} exists in namespace {}", secret.name(), secret.space()));
  }
  const fs::path file = value_file(secret);
  if (auto made = make_directory(file.parent_path(), 0700); !made) return made;
  return put_file(file, value);
}

Result<void> SecretStore::update(const SecretName& secret, std::string_view value) {
  if (!has(secret)) return unknown(secret);
  if (auto put = put_file(value_file(secret), value); !put) return put;
  std::error_code error;
  for (const fs::directory_entry& function : fs::directory_iterator(root_ / "granted", error)) {
    const fs::path seen = function.path() / secret.name();
    if (!function.path().filename().string().ends_with("." + secret.space())) continue;
    if (!fs::exists(seen, error)) continue;
    if (auto put = put_file(seen, value); !put) return put;
  }
  return {};
}

Result<void> SecretStore::remove(const SecretName& secret) {
  if (!has(secret)) return unknown(secret);
  std::error_code error;
  fs::remove(value_file(secret), error);
  if (error) return failed(value_file(secret), error);
  return {};
}

bool SecretStore::has(const SecretName& secret) const {
  std::error_code ignored;  // What cannot be looked at cannot be used.
  return fs::is_regular_file(value_file(secret), ignored);
}

std::vector<SecretName> SecretStore::list(std::string_view space) const {
  std::vector<SecretName> secrets;
  std::error_code ignored;  // Gone meanwhile is not there.
  for (const fs::directory_entry& directory : fs::directory_iterator(root_ / "values", ignored)) {
    const std::string name = directory.path().filename().string();
    if (!space.empty() && name != space) continue;
    for (const fs::directory_entry& file : fs::directory_iterator(directory.path(), ignored)) {
      auto secret = SecretName::parse(file.path().filename().string(), name);
      if (secret) secrets.push_back(std::move(*secret));
    }
  }
  std::ranges::sort(secrets);
  return secrets;
}

Result<fs::path> SecretStore::grant(const FunctionName& function,
                                    const std::vector<std::string>& secrets) {
  std::vector<std::pair<std::string, std::string>> values;
  for (const std::string& name : secrets) {
    auto secret = SecretName::parse(name, function.space());
    if (!secret) return pass_on(std::move(secret));
    if (!has(*secret)) return unknown(*secret);
    auto value = read_file(value_file(*secret));
    if (!value) return pass_on(std::move(value));
    values.emplace_back(name, std::move(*value));
  }
  fs::path directory = granted(function);
  if (auto made = make_directory(directory, 0700); !made) return pass_on(std::move(made));
  for (const auto& [name, value] : values) {
    if (auto put = put_file(directory / name, value); !put) return pass_on(std::move(put));
  }
  // In place, as a running replica may have the directory itself mounted.
  std::error_code error;
  for (const fs::directory_entry& file : fs::directory_iterator(directory, error)) {
    const std::string name = file.path().filename().string();
    if (std::ranges::find(secrets, name) == secrets.end()) fs::remove(file.path(), error);
  }
  return directory;
}

void SecretStore::revoke(const FunctionName& function) {
  std::error_code ignored;  // Made anew by the next grant().
  fs::remove_all(granted(function), ignored);
}

}  // namespace dfaas
