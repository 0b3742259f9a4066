// The matrix products, as the tile asks for them.
#pragma once

#ifdef FLASHODE_LONE
#include "cpu/dense_lone.hpp"
#else
#include "cpu/dense_tile.hpp"
#endif
