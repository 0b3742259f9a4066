// A field bound to the memory of its parameters.
#pragma once

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "cpu/engine.hpp"

namespace flashode::bindings {

// Of a contiguous tensor that the caller keeps alive; 0 for none.
using Address = std::uintptr_t;

template <class T>
T* pointer(Address address) {
    return reinterpret_cast<T*>(address);  // NOLINT(performance-no-int-to-ptr): what torch's data_ptr() gives
}

// The program is held here so that a solve outlives the Python objects it came from.
struct BoundField {
    std::shared_ptr<program::Program> program;
    cpu::Field field;

    BoundField(std::shared_ptr<program::Program> of, const std::vector<Address>& parameters,
               std::vector<bool> wants_gradient, const std::vector<std::pair<int, bool>>& segments,
               std::int64_t batch, double direction, int threads, bool lone)
        : program(std::move(of)) {
        if (parameters.size() != program->parameter_sizes.size() ||
            wants_gradient.size() != parameters.size()) {
            throw std::invalid_argument("one address and one flag for each parameter of the program");
        }
        field.program = program.get();
        for (const Address address : parameters) field.parameters.push_back(pointer<const void>(address));
        field.wants_gradient = std::move(wants_gradient);
        for (const auto& [rows, in_norm] : segments) add_segment(rows, in_norm);
        require_whole_state();
        field.batch = batch;
        field.direction = direction;
        field.threads = threads;
        field.lone = lone;
    }

   private:
    void add_segment(int rows, bool in_norm) {
        if (rows < 1) throw std::invalid_argument("a segment of the state without rows");
        field.segments.push_back({rows, in_norm});
    }

    void require_whole_state() const {
        std::int64_t rows = 0;
        bool judged = false;
        for (const cpu::Segment& segment : field.segments) {
            rows += segment.rows;
            judged = judged || segment.in_norm;
        }
        if (rows != program->width()) {
            throw std::invalid_argument("the segments have " + std::to_string(rows) +
                                        " rows together, the state has " + std::to_string(program->width()));
        }
        if (!judged) throw std::invalid_argument("no segment of the state is in the norm");
    }
};

}  // namespace flashode::bindings
