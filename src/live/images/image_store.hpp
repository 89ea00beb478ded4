// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Container images of this node: read or fetched by skopeo, unpacked by umoci, once per digest.
///
/// Guarantees What is in `directory` under a digest is whole. Whoever asks for a digest that is being unpacked waits
///            for the same one. Nothing of an image gives power: no devices, no set-user-id bits, no way out of its
///            directory. An image that nobody holds is removed after a while.
/// Limits     One image: `unpacked_bytes_max`, noticed within some 0.2 s; two are unpacked at a time. No layers are
///            shared between images.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>

#include "core/base/instant.hpp"
#include "core/base/result.hpp"
#include "core/openfaas/image.hpp"

namespace dfaas {

struct UnpackedImage {
  std::string digest;  ///< Of its manifest: "sha256:..."
  std::filesystem::path root;
  std::uint64_t bytes = 0;  ///< Unpacked.
  ImageConfig config;
};

/// Whoever holds one keeps it on disk.
using ImagePtr = std::shared_ptr<const UnpackedImage>;

struct ImageSettings {
  std::filesystem::path sources;    ///< Where layouts and archives lie, and directories of files.
  std::filesystem::path directory;  ///< Unpacked ones.
  std::filesystem::path
      credentials;  ///< For registries, as `skopeo login --authfile` writes them; may be missing.
  std::string skopeo;  ///< Programs, or empty where there is none.
  std::string umoci;
  std::string setpriv;
  std::vector<std::string> environment;  ///< Of the programs.
  bool has_policy = true;                ///< Has this machine a policy for signatures?
  std::string registries = "*";          ///< See is_registry_allowed().
  std::string architecture;              ///< "amd64"
  std::uint64_t unpacked_bytes_max = 2ULL << 30U;
  Millis time_limit{600'000};  ///< For fetching and unpacking one.
  Millis keep{600'000};        ///< After the last function that uses it.
};

/// All calls from the thread that runs the executor.
class ImageStore {
 public:
  /// Removes what was not finished, and finds what was. Blocks: before the event loop runs.
  /// Errors: unavailable naming the directory.
  static Result<std::unique_ptr<ImageStore>> open(boost::asio::any_io_executor executor,
                                                  ImageSettings settings);
  ~ImageStore();
  ImageStore(const ImageStore&) = delete;
  ImageStore& operator=(const ImageStore&) = delete;
  ImageStore(ImageStore&&) = delete;
  ImageStore& operator=(ImageStore&&) = delete;

  /// Unpacks it if need be. Errors: invalid_input for what is wrong with the image, its name, or this node's
  /// programs; timed_out after `patience`, while unpacking goes on.
  boost::asio::awaitable<Result<ImagePtr>> get(ImageName name, Millis patience);

  /// One that is there. Null where there is none.
  [[nodiscard]] ImagePtr find(const std::string& digest) const;

 private:
  struct State;
  explicit ImageStore(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

}  // namespace dfaas
