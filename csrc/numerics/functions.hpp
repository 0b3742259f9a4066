// The Program's element-wise functions: enumerators, values, derivatives.
#pragma once

#include "numerics/binary_functions.hpp"
#include "numerics/function_names.hpp"
#include "numerics/unary_functions.hpp"
