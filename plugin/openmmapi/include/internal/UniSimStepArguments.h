#ifndef OPENMM_UNISIMSTEPARGUMENTS_H_
#define OPENMM_UNISIMSTEPARGUMENTS_H_

#include "internal/UniSimModel.h"
#include "openmm/Vec3.h"
#include <algorithm>
#include <array>
#include <map>
#include <string>
#include <torch/script.h>
#include <vector>

namespace UniSimPlugin {

template <typename T>
void copyVectors(const std::vector<OpenMM::Vec3>& from, T* to) {
    for (const OpenMM::Vec3& v : from)
        for (int c = 0; c < 3; c++)
            *to++ = static_cast<T>(v[c]);
}

template <typename T>
void copyVectors(const T* from, std::vector<OpenMM::Vec3>& to) {
    for (OpenMM::Vec3& v : to)
        for (int c = 0; c < 3; c++)
            v[c] = *from++;
}

/** A tensor's values in the CPU's memory, itself if they are there: even a conversion to the same is a call
 * of torch. */
inline torch::Tensor onHost(const torch::Tensor& tensor, torch::ScalarType type) {
    if (tensor.is_cpu() && tensor.scalar_type() == type && tensor.is_contiguous())
        return tensor;
    return tensor.to(torch::kCPU, type).contiguous();
}

inline void toVectors(const torch::Tensor& tensor, std::vector<OpenMM::Vec3>& vectors) {
    const bool single = tensor.scalar_type() == torch::kFloat;
    torch::Tensor values = onHost(tensor, single ? torch::kFloat : torch::kDouble);
    vectors.resize(values.numel() / 3);
    if (single)
        copyVectors(values.const_data_ptr<float>(), vectors);
    else
        copyVectors(values.const_data_ptr<double>(), vectors);
}

inline std::vector<double> toNumbers(const torch::Tensor& tensor) {
    torch::Tensor values = onHost(tensor, torch::kDouble);
    const double* numbers = values.const_data_ptr<double>();
    return std::vector<double>(numbers, numbers + values.numel());
}

/**
 * The arguments of the step contract.  Arrays are kept from call to call and filled anew, since making one
 * costs more than filling it.
 */
class UniSimStepArguments {
public:
    torch::IValue positions, initialPositions, atomicNumbers, bonds, t, tNext,
            kT = 0.0, forces, guidanceScale = 0.0, boxVectors, noise, nextPositions, n = 0;

    /** Find an argument by its name in the contract, or nullptr. */
    const torch::IValue* find(const std::string& name) const {
        static const std::map<std::string, torch::IValue UniSimStepArguments::*> NAMES = {
                {"positions", &UniSimStepArguments::positions},
                {"initial_positions", &UniSimStepArguments::initialPositions},
                {"atomic_numbers", &UniSimStepArguments::atomicNumbers},
                {"bonds", &UniSimStepArguments::bonds}, {"t", &UniSimStepArguments::t},
                {"t_next", &UniSimStepArguments::tNext}, {"kT", &UniSimStepArguments::kT},
                {"forces", &UniSimStepArguments::forces},
                {"guidance_scale", &UniSimStepArguments::guidanceScale},
                {"box_vectors", &UniSimStepArguments::boxVectors}, {"noise", &UniSimStepArguments::noise},
                {"next_positions", &UniSimStepArguments::nextPositions}, {"n", &UniSimStepArguments::n}};
        auto found = NAMES.find(name);
        return found == NAMES.end() ? nullptr : &(this->*found->second);
    }
    void setScalarType(torch::ScalarType type) {
        none = torch::empty({0}, type);
    }
    /** Set everything but noise and next positions. */
    void setState(const UniSimModelState& state) {
        shape[0] = state.times.size();
        shape[1] = atomicNumbers.toTensor().size(0);
        setVectors(positions, state.positions, shape);
        setVectors(initialPositions, state.initialPositions, shape);
        setVectors(forces, state.forces, shape);
        setVectors(boxVectors, state.box, {3, 3});
        setTimes(t, state.times);
        setTimes(tNext, state.nextTimes);
        kT = state.kT;
        guidanceScale = state.guidanceScale;
    }
    /** Set an argument of as many vectors as the state's positions. */
    void setVectors(torch::IValue& argument, const std::vector<OpenMM::Vec3>& vectors) {
        setVectors(argument, vectors, shape);
    }

private:
    void setVectors(torch::IValue& argument, const std::vector<OpenMM::Vec3>& vectors, at::IntArrayRef size) {
        if (vectors.empty()) {
            argument = none;
            return;
        }
        const torch::Tensor& values = prepare(argument, size, none.scalar_type());
        if (none.scalar_type() == torch::kFloat)
            copyVectors(vectors, values.mutable_data_ptr<float>());
        else
            copyVectors(vectors, values.mutable_data_ptr<double>());
    }
    void setTimes(torch::IValue& argument, const std::vector<double>& times) {
        const torch::Tensor& values = prepare(argument, {(int64_t)times.size()}, torch::kDouble);
        std::copy(times.begin(), times.end(), values.mutable_data_ptr<double>());
    }
    /** The array of an argument, a new one if it has another size. */
    static const torch::Tensor& prepare(
            torch::IValue& argument, at::IntArrayRef size, torch::ScalarType type) {
        if (!argument.isTensor() || argument.toTensor().sizes() != size)
            argument = torch::empty(size, type);
        return argument.toTensor();
    }
    std::array<int64_t, 3> shape = {0, 0, 3};
    torch::Tensor none;
};

} // namespace UniSimPlugin

#endif // OPENMM_UNISIMSTEPARGUMENTS_H_
