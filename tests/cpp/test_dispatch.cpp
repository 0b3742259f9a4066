// Which instruction set runs, and what is said where none can.
#include <stdexcept>
#include <string>
#include <vector>

#include "check.hpp"
#include "cpu/engine.hpp"

namespace {

using namespace flashode::cpu;

bool here() { return true; }
bool elsewhere() { return false; }

InstructionSet set(const char* name, bool (*supported)()) {
    InstructionSet made{};
    made.name = name;
    made.supported = supported;
    return made;
}

std::string chosen(const std::vector<InstructionSet>& sets, const char* wanted = nullptr) {
    return choose_instruction_set(sets, wanted).name;
}

TEST_CASE("the best that the machine has") {
    CHECK(chosen({set("plain", here), set("good", here), set("better", elsewhere)}) == "good");
    CHECK(chosen({set("plain", here), set("good", here)}, "") == "good");
    CHECK(chosen({set("plain", here), set("good", here)}, "plain") == "plain");
}

TEST_CASE("what is refused") {
    const std::vector<InstructionSet> sets = {set("plain", elsewhere), set("good", elsewhere)};
    CHECK_THROWS_WITH_AS(chosen(sets),
                         "flashode was built for plain, good, which this machine lacks: build it here, or "
                         "install a wheel",
                         std::invalid_argument);
    CHECK_THROWS_WITH_AS(chosen(sets, "good"), "FLASHODE_ISA=good: this machine lacks it",
                         std::invalid_argument);
    CHECK_THROWS_WITH_AS(chosen(sets, "other"), "FLASHODE_ISA=other is unknown; accepted are plain, good",
                         std::invalid_argument);
}

}  // namespace
