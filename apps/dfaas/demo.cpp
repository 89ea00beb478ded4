// SPDX-License-Identifier: AGPL-3.0-or-later
#include "apps/dfaas/demo_federation.hpp"

namespace dfaas {}  // namespace dfaas
