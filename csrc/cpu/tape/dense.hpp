// The matrix products, as the tile asks for them.
#pragma once

#ifdef FLASHODE_FEATURES_IN_LANES
#include "cpu/tape/dense_features.hpp"
#else
#include "cpu/tape/dense_trajectories.hpp"
#endif
