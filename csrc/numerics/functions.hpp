// The Program's element-wise functions: names, values, derivatives.
#pragma once

#include "numerics/binary_functions.hpp"
#include "numerics/function_names.hpp"
#include "numerics/unary_functions.hpp"
