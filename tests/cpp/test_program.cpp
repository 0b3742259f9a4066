// A program that would make a kernel read or write out of bounds is refused.
#include <cstddef>
#include <functional>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "check.hpp"
#include "problems.hpp"

namespace {

using flashode::program::Program;

bool refused(const std::function<void(Program&)>& spoil) {
    Program program = flashode::testing::mixed_program();
    spoil(program);
    try {
        flashode::program::validate(program);
    } catch (const std::invalid_argument&) {
        return true;
    }
    return false;
}

// Where operations stand in the program.
constexpr std::size_t DYNAMIC = 13;
constexpr std::size_t SELECT = 15;
constexpr std::size_t SEARCH = 17;
constexpr std::size_t LOOKUP = 18;
constexpr std::size_t OWN_SEARCH = 20;
constexpr std::size_t OWN_LOOKUP = 21;
constexpr int largest = std::numeric_limits<int>::max();

TEST_CASE("gradients pass") {
    const Program program = flashode::testing::mixed_program();
    for (const flashode::program::Op& op : program.ops) {
        for (std::size_t i = 0; i < op.inputs.size(); ++i) {
            using flashode::program::OpKind;
            const bool names = (op.kind == OpKind::select || op.kind == OpKind::lookup) && i == 0;
            const bool passes = !names && op.kind != OpKind::bucketize;
            CHECK(flashode::program::passes_gradient(op, i) == passes);
        }
    }
    flashode::program::Op op;
    op.kind = flashode::program::OpKind::unary;
    op.unary = flashode::numerics::UnaryFn::round;
    CHECK(!flashode::program::passes_gradient(op, 0));
    op.kind = flashode::program::OpKind::binary;
    op.binary = flashode::numerics::BinaryFn::le;
    CHECK(!flashode::program::passes_gradient(op, 0));
    CHECK(!flashode::program::passes_gradient(op, 1));
}

// dy/dt = -y beside a parameter that nobody reads: as many rows, and as many elements, as kernels can number
// and no more.
bool refused_as_large(int width, std::vector<std::int64_t> parameter_sizes) {
    flashode::testing::Builder b(width, std::move(parameter_sizes));
    b.unary(flashode::numerics::UnaryFn::neg, flashode::program::VALUE_Y);
    try {
        b.finish();
    } catch (const std::invalid_argument& error) {
        CHECK(std::string(error.what()).find("more than") != std::string::npos);
        return true;
    }
    return false;
}

TEST_CASE("what is too large") {
    using flashode::program::MAX_PARAMETER_ELEMENTS;
    using flashode::program::MAX_ROWS;
    constexpr std::int64_t most = std::numeric_limits<int>::max();
    static_assert(2 * flashode::numerics::MAX_STAGES * flashode::program::MAX_LANES * MAX_ROWS <= most);
    static_assert(flashode::numerics::MAX_STAGES * (MAX_PARAMETER_ELEMENTS + 1) <= most);
    static_assert(flashode::program::MAX_LANES * MAX_PARAMETER_ELEMENTS <= most);
    const int width = static_cast<int>((MAX_ROWS - 1) / 2);  // of y and of the output, beside t
    CHECK(!refused_as_large(width, {}));
    CHECK(refused_as_large(width + 1, {}));
    CHECK(refused_as_large(largest, {}));
    CHECK(!refused_as_large(3, {MAX_PARAMETER_ELEMENTS - 5, 5}));
    CHECK(refused_as_large(3, {MAX_PARAMETER_ELEMENTS - 5, 6}));
    CHECK(refused_as_large(3, {std::numeric_limits<std::int64_t>::max(), 6}));
    CHECK(refused([](Program& p) { p.parameter_sizes[0] = -1; }));
}

TEST_CASE("what is refused") {
    CHECK(!refused([](Program&) {}));
    CHECK(refused([](Program& p) { p.widths.clear(); }));
    CHECK(refused([](Program& p) { p.widths[0] = 2; }));
    CHECK(refused([](Program& p) { p.widths[4] = 0; }));
    CHECK(refused([](Program& p) { p.widths[2] = -1; }));
    CHECK(!refused([](Program& p) { p.widths[2] = 4; }));
    CHECK(refused([](Program& p) { p.shared = -1; }));
    CHECK(refused([](Program& p) { p.shared = 99; }));
    CHECK(refused([](Program& p) { p.shared = 5; }));  // the first that reads y
    CHECK(!refused([](Program& p) { p.shared = 3; }));
    CHECK(refused([](Program& p) { p.ops[1].inputs[0] = 1; }));  // shared, and reads y
    CHECK(refused([](Program& p) { p.output = 99; }));
    CHECK(refused([](Program& p) { p.output = -1; }));
    CHECK(refused([](Program& p) { p.output = 7; }));            // another width than y
    CHECK(refused([](Program& p) { p.ops[4].inputs[0] = 8; }));  // not written yet
    CHECK(refused([](Program& p) { p.ops[4].inputs = {}; }));
    CHECK(refused([](Program& p) { p.ops[4].parameter = 9; }));
    CHECK(refused([](Program& p) { p.ops[4].bias = 0; }));
    CHECK(refused([](Program& p) { p.ops[4].features_in = 2; }));
    CHECK(refused([](Program& p) { p.ops[4].repeats = 2; }));
    CHECK(refused([](Program& p) { p.ops[5].constants = {1.0}; }));
    CHECK(refused([](Program& p) { p.ops[5].out = 7; }));  // written twice
    CHECK(refused([](Program& p) { p.ops[1].index = {0, 1, 0}; }));
    CHECK(refused([](Program& p) { p.ops[1].index = {0, -1, 0}; }));
    CHECK(refused([](Program& p) { p.ops[1].index = {0, 0}; }));
    CHECK(refused([](Program& p) { p.ops[7].inputs[1] = 7; }));
    CHECK(refused([](Program& p) { p.ops[8].index = {0, 0, 1}; }));
    CHECK(refused([](Program& p) { p.parameter_sizes[3] = 2; }));
    for (const int groups : {0, -1, 2, 4, largest}) {
        CHECK(refused([groups](Program& p) { p.ops[SEARCH].blocks = groups; }));
        CHECK(refused([groups](Program& p) { p.ops[OWN_SEARCH].blocks = groups; }));
    }
    CHECK(refused([](Program& p) { p.ops[SEARCH].parameter = -1; }));
    CHECK(refused([](Program& p) { p.ops[SEARCH].parameter = 9; }));
    CHECK(refused([](Program& p) { p.ops[OWN_SEARCH].parameter = 1; }));
    CHECK(refused([](Program& p) { p.ops[OWN_SEARCH].inputs[1] = 99; }));
    CHECK(refused([](Program& p) { p.ops[OWN_SEARCH].inputs[0] = 0; }));  // another width
    for (const std::size_t op : {LOOKUP, OWN_LOOKUP}) {
        for (const int wrong : {0, -1, largest}) {
            CHECK(refused([=](Program& p) { p.ops[op].stride = wrong; }));
            CHECK(refused([=](Program& p) { p.ops[op].count = wrong; }));
        }
        CHECK(refused([=](Program& p) { p.ops[op].index = {0, 1, -1}; }));
        CHECK(refused([=](Program& p) { p.ops[op].index = {0, 1, 9}; }));  // its last row is outside
        CHECK(refused([=](Program& p) { p.ops[op].index = {0, 1}; }));
        CHECK(refused([=](Program& p) { p.ops[op].inputs[0] = 1'000; }));
    }
    CHECK(refused([](Program& p) { p.ops[LOOKUP].parameter = -1; }));
    CHECK(refused([](Program& p) { p.ops[OWN_LOOKUP].parameter = 0; }));
    CHECK(refused([](Program& p) { p.ops[OWN_LOOKUP].inputs[1] = 7; }));  // too few rows
    CHECK(refused([](Program& p) { p.ops[4].repeats = largest; }));
    for (const int groups : {0, -1, 2, largest}) {
        CHECK(refused([groups](Program& p) { p.ops[DYNAMIC].blocks = groups; }));
        CHECK(refused([groups](Program& p) { p.ops[DYNAMIC].repeats = groups; }));
    }
    CHECK(refused([](Program& p) { p.ops[DYNAMIC].blocks = p.ops[DYNAMIC].repeats = largest; }));
    CHECK(refused([](Program& p) { p.ops[DYNAMIC].blocks = 3; }));      // needs three weights, not nine
    CHECK(refused([](Program& p) { p.ops[DYNAMIC].repeats = 3; }));     // needs one
    CHECK(refused([](Program& p) { p.ops[DYNAMIC].inputs[1] = 8; }));   // a weight of five rows
    CHECK(refused([](Program& p) { p.ops[DYNAMIC].inputs[0] = 8; }));   // five rows to multiply
    CHECK(refused([](Program& p) { p.ops[DYNAMIC].inputs = {1}; }));    // no weight
    CHECK(refused([](Program& p) { p.ops[DYNAMIC].inputs[1] = 16; }));  // not written yet
    CHECK(refused([](Program& p) { p.ops[SELECT].inputs[0] = 0; }));    // one row to choose by
    CHECK(refused([](Program& p) { p.ops[SELECT].inputs[1] = 8; }));    // five rows to choose from
    CHECK(refused([](Program& p) { p.ops[SELECT].inputs[2] = 8; }));
    CHECK(refused([](Program& p) { p.ops[SELECT].inputs = {17, 16}; }));  // nothing else to choose
}

}  // namespace
