// SPDX-License-Identifier: MIT
// Do listen records tell how full queues are and what they drop?
#include "support/catch.h"
