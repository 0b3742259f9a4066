// A program that would make a kernel read or write out of bounds is refused.
#include <functional>
#include <stdexcept>

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

}  // namespace

int main() {
    CHECK(!refused([](Program&) {}));
    CHECK(refused([](Program& p) { p.widths.clear(); }));
    CHECK(refused([](Program& p) { p.widths[0] = 2; }));
    CHECK(refused([](Program& p) { p.widths[4] = 0; }));
    CHECK(refused([](Program& p) { p.output = 99; }));
    CHECK(refused([](Program& p) { p.output = -1; }));
    CHECK(refused([](Program& p) { p.output = 2; }));            // another width than y
    CHECK(refused([](Program& p) { p.ops[0].inputs[0] = 3; }));  // not written yet
    CHECK(refused([](Program& p) { p.ops[0].inputs = {}; }));
    CHECK(refused([](Program& p) { p.ops[0].parameter = 9; }));
    CHECK(refused([](Program& p) { p.ops[0].bias = 0; }));
    CHECK(refused([](Program& p) { p.ops[0].features_in = 2; }));
    CHECK(refused([](Program& p) { p.ops[0].repeats = 2; }));
    CHECK(refused([](Program& p) { p.ops[1].constants = {1.0}; }));
    CHECK(refused([](Program& p) { p.ops[1].out = 2; }));  // written twice
    CHECK(refused([](Program& p) { p.ops[4].index = {0, 1, 0}; }));
    CHECK(refused([](Program& p) { p.ops[4].index = {0, -1, 0}; }));
    CHECK(refused([](Program& p) { p.ops[4].index = {0, 0}; }));
    CHECK(refused([](Program& p) { p.ops[7].inputs[1] = 2; }));
    CHECK(refused([](Program& p) { p.ops[8].index = {0, 0, 1}; }));
    CHECK(refused([](Program& p) { p.parameter_sizes[3] = 2; }));
    return flashode::testing::finish();
}
