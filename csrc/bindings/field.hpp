// A field bound to the memory of its parameters.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "bindings/checks.hpp"
#include "cpu/engine.hpp"

namespace flashode::bindings {

// The program is held here so that a solve outlives the Python objects it came from.
struct BoundField {
    std::shared_ptr<program::Program> program;
    cpu::Field field;
    bool single;  // numbers of four bytes

    BoundField(std::shared_ptr<program::Program> of, const std::vector<Address>& parameters,
               std::vector<bool> wants_gradient, const std::vector<int>& segments, std::int64_t batch,
               double direction, const std::string& precision, int threads, bool features_in_lanes)
        : program(std::move(of)), single(is_single(precision)) {
        const std::vector<std::int64_t>& sizes = program->parameter_sizes;
        require(parameters.size() == sizes.size(), "parameters has not one address for each of the program");
        require(wants_gradient.size() == sizes.size(),
                "wants_gradient has not one flag for each parameter of the program");
        for (std::size_t p = 0; p < sizes.size(); ++p) {
            require_address_if(sizes[p] > 0, "an entry of parameters", parameters[p]);
        }
        require_count("batch", batch, 1, std::int64_t{program->width()} * static_cast<int>(sizeof(double)));
        require(direction == 1.0 || direction == -1.0, "direction is neither 1 nor -1");
        require_threads(threads);
        field.program = program.get();
        for (const Address address : parameters) field.parameters.push_back(pointer<const void>(address));
        field.wants_gradient = std::move(wants_gradient);
        set_segments(segments);
        field.batch = batch;
        field.direction = direction;
        field.threads = threads;
        field.features_in_lanes = features_in_lanes;
    }

   private:
    // From the rows of each.
    void set_segments(const std::vector<int>& segments) {
        std::int64_t rows = 0;
        for (const int count : segments) {
            require(count >= 1, "an entry of segments has no rows");
            rows += count;
            require(rows <= program->width(), "the segments have more rows together than the state");
            field.segments.push_back({static_cast<int>(rows) - count, static_cast<int>(rows)});
        }
        require(rows == program->width(), "the segments have ", rows, " rows together, the state has ",
                program->width());
    }
};

}  // namespace flashode::bindings
