// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// One direction of an emulated link: when a frame that enters now comes out, if it does.
///
/// Guarantees  First in, first out, whatever the jitter: a link is a wire, and TCP takes what overtakes for
///             lost. Same seed, shape and frames, same result.
/// Limits      With a bandwidth, what would wait longer than `queue_max` is dropped, as a router drops it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "core/base/instant.hpp"
#include "core/base/random.hpp"

namespace dfaas {

struct LinkShape {
  Micros delay{0};   ///< Of every frame, one way.
  Micros jitter{0};  ///< Added to it, uniform in [0, jitter].
  double loss_ratio = 0;
  double bits_per_second = 0;  ///< 0: no limit.

  friend bool operator==(const LinkShape&, const LinkShape&) = default;
};

struct LinkCounts {
  std::uint64_t carried = 0;
  std::uint64_t lost = 0;     ///< By chance.
  std::uint64_t dropped = 0;  ///< The queue in front of the bandwidth was full.
  std::uint64_t cut = 0;      ///< They came while the direction was cut.
};

class LinkModel {
 public:
  LinkModel(LinkShape shape, Random random) : shape_(shape), random_(random) {}

  /// When a frame of `bytes` comes out; nothing if it never does. `now` never falls.
  std::optional<Instant> carry(Instant now, std::size_t bytes);

  /// Cuts add up: what was cut twice must be healed twice.
  void cut() { ++cuts_; }
  /// Nothing where it is whole.
  void heal();
  void heal_all() { cuts_ = 0; }
  [[nodiscard]] bool is_cut() const { return cuts_ > 0; }

  /// For frames that enter from now on.
  void reshape(LinkShape shape) { shape_ = shape; }
  [[nodiscard]] const LinkShape& shape() const { return shape_; }
  [[nodiscard]] const LinkCounts& counts() const { return counts_; }

  /// Guessed: more than a home router's buffer, less than what makes TCP give up.
  static constexpr Micros queue_max{200'000};

 private:
  LinkShape shape_;
  Random random_;
  int cuts_ = 0;
  Instant free_at_{};  ///< When the last bit of what entered has been sent.
  Instant last_out_{};
  LinkCounts counts_;
};

}  // namespace dfaas
