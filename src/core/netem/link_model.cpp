// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/netem/link_model.hpp"

#include <algorithm>

namespace dfaas {

std::optional<Instant> LinkModel::carry(Instant now, std::size_t bytes) {
  if (is_cut()) {
    ++counts_.cut;
    return std::nullopt;
  }
  if (shape_.loss_ratio > 0 && uniform(random_, 0, 1) < shape_.loss_ratio) {
    ++counts_.lost;
    return std::nullopt;
  }
  Instant sent = now;
  if (shape_.bits_per_second > 0) {
    const Instant begins = std::max(now, free_at_);
    if (begins - now > queue_max) {
      ++counts_.dropped;
      return std::nullopt;
    }
    sent = begins + from_seconds(static_cast<double>(bytes) * 8 / shape_.bits_per_second);
    free_at_ = sent;
  }
  Micros delay = shape_.delay;
  if (shape_.jitter.count() > 0) {
    delay += from_seconds(uniform(random_, 0, to_seconds(shape_.jitter)));
  }
  last_out_ = std::max(last_out_, sent + delay);
  ++counts_.carried;
  return last_out_;
}

void LinkModel::heal() { cuts_ = std::max(0, cuts_ - 1); }

}  // namespace dfaas
