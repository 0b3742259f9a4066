// Gradients that every tile adds to: those of parameters and of times.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include "cpu/engine.hpp"

namespace flashode::cpu::inline FLASHODE_ISA {

// In double: a sum of many thousand terms in single precision loses digits that the terms have.
struct GradientSums {
    std::vector<std::vector<double>> parameters;  // empty where not wanted
    std::vector<double> times;                    // of the outputs, through dense output
    std::vector<double> grid;                     // of fixed-step methods; of adaptive ones the start

    template <class Real>
    explicit GradientSums(const DiscreteRequest<Real>& request) {
        for (std::size_t p = 0; p < request.grad_parameters.size(); ++p) {
            const bool wanted = request.grad_parameters[p] != nullptr;
            const std::int64_t size = wanted ? request.field->program->parameter_sizes[p] : 0;
            parameters.emplace_back(static_cast<std::size_t>(size));
        }
        if (request.grad_times == nullptr) return;
        times.resize(static_cast<std::size_t>(request.times.count));
        const bool on_grid = request.method->tableau.control == Control::fixed;
        grid.resize(on_grid ? request.log->steps.size() + 1 : 1);
    }

    std::size_t bytes() const {
        std::size_t elements = times.size() + grid.size();
        for (const std::vector<double>& total : parameters) elements += total.size();
        return elements * sizeof(double);
    }

    solve::TimeGradients of_times() {
        return times.empty() ? solve::TimeGradients{} : solve::TimeGradients{times.data(), grid.data()};
    }

    std::vector<double*> by_parameter() {
        std::vector<double*> pointers;
        pointers.reserve(parameters.size());
        for (std::vector<double>& total : parameters) pointers.push_back(total.data());
        return pointers;
    }

    void add(const GradientSums& other) {
        for (std::size_t p = 0; p < parameters.size(); ++p) add(other.parameters[p], parameters[p]);
        add(other.times, times);
        add(other.grid, grid);
    }

    // Writes those of parameters, adds those of times.
    template <class Real>
    void hand_over(const DiscreteRequest<Real>& request) const {
        for (std::size_t p = 0; p < parameters.size(); ++p) {
            std::transform(parameters[p].begin(), parameters[p].end(), request.grad_parameters[p],
                           [](double total) { return static_cast<Real>(total); });
        }
        for (std::size_t j = 0; j < times.size(); ++j) request.grad_times[j] += times[j];
        for (std::size_t j = 0; j < grid.size(); ++j) request.grad_grid[j] += grid[j];
    }

   private:
    static void add(const std::vector<double>& from, std::vector<double>& to) {
        for (std::size_t i = 0; i < to.size(); ++i) to[i] += from[i];
    }
};

}  // namespace flashode::cpu::inline FLASHODE_ISA
