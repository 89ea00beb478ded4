// SPDX-License-Identifier: AGPL-3.0-or-later
/// @file
/// Node ids of simulated nodes: their index, written as an id. Ids sort as the indexes do.
#pragma once

#include "core/base/names.hpp"
#include "core/scenario/scenario.hpp"

namespace dfaas {

NodeId node_id_of(NodeIndex index);
/// Requires an id of node_id_of().
NodeIndex index_of(const NodeId& id);

}  // namespace dfaas
