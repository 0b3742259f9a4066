// The matrix products, as the tile asks for them.
#pragma once

#ifdef FLASHODE_LONE
#include "cpu/tape/dense_lone.hpp"
#else
#include "cpu/tape/dense_tile.hpp"
#endif
