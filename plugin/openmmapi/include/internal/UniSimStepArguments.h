#ifndef OPENMM_UNISIMSTEPARGUMENTS_H_
#define OPENMM_UNISIMSTEPARGUMENTS_H_

#include "internal/UniSimModel.h"
#include "openmm/Vec3.h"
#include <algorithm>
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
 * costs more than filling it, and where their numbers lie is kept beside them: after a call of the model
 * little of this is left in the processor's caches.
 */
class UniSimStepArguments {
public:
    /** An argument that is an array of vectors or of times: on the model's device, and filled on the host. */
    struct Array {
        torch::IValue value;
        torch::Tensor host; // itself, where the device is the CPU
        void* data = nullptr;
        int64_t count = -1, copies = 0;
    };
    Array positions, initialPositions, t, tNext, forces, boxVectors, noise, nextPositions;
    torch::IValue atomicNumbers, bonds, kT = 0.0, guidanceScale = 0.0, guidanceAlpha = 0.0;
    torch::IValue guidanceSource = 0, n = 0;

    UniSimStepArguments() = default;
    UniSimStepArguments(const UniSimStepArguments&) = delete;
    UniSimStepArguments& operator=(const UniSimStepArguments&) = delete;
    /** Find an argument by its name in the contract, or nullptr. */
    const torch::IValue* find(const std::string& name) const {
        const std::map<std::string, const torch::IValue*> names = {{"positions", &positions.value},
                {"initial_positions", &initialPositions.value}, {"atomic_numbers", &atomicNumbers},
                {"bonds", &bonds}, {"t", &t.value}, {"t_next", &tNext.value}, {"kT", &kT},
                {"forces", &forces.value}, {"guidance_scale", &guidanceScale},
                {"guidance_alpha", &guidanceAlpha}, {"guidance_source", &guidanceSource},
                {"box_vectors", &boxVectors.value}, {"noise", &noise.value},
                {"next_positions", &nextPositions.value}, {"n", &n}};
        auto found = names.find(name);
        return found == names.end() ? nullptr : found->second;
    }
    void setScalarType(torch::ScalarType type) {
        scalarType = type;
    }
    const torch::Device& getDevice() const {
        return device;
    }
    /** Set where the model is; what it computes with has to be set anew. */
    void setDevice(const torch::Device& where) {
        device = where;
        for (Array* array :
                {&positions, &initialPositions, &t, &tNext, &forces, &boxVectors, &noise, &nextPositions})
            *array = Array();
    }
    /** Set everything but noise and next positions. */
    void setState(const UniSimModelState& state) {
        copies = state.times.size();
        setVectors(positions, state.positions);
        setVectors(initialPositions, state.initialPositions);
        setVectors(forces, state.forces);
        setVectors(boxVectors, state.box, false);
        setTimes(t, state.times);
        setTimes(tNext, state.nextTimes);
        kT = state.kT;
        guidanceScale = state.guidanceScale;
        guidanceAlpha = state.guidanceAlpha;
        guidanceSource = static_cast<int64_t>(state.guidanceSource);
    }
    /**
     * Set an array of vectors, shape (copies, particles, 3), or (vectors, 3) if it is not for each copy;
     * without any its shape is (0).
     */
    void setVectors(Array& argument, const std::vector<OpenMM::Vec3>& vectors, bool forEachCopy = true) {
        int64_t number = vectors.size();
        if (number != argument.count || copies != argument.copies) {
            if (number == 0)
                setShape(argument, {0}, scalarType);
            else if (forEachCopy)
                setShape(argument, {copies, number / copies, 3}, scalarType);
            else
                setShape(argument, {number, 3}, scalarType);
            argument.count = number;
            argument.copies = copies;
        }
        if (scalarType == torch::kFloat)
            copyVectors(vectors, static_cast<float*>(argument.data));
        else
            copyVectors(vectors, static_cast<double*>(argument.data));
        send(argument);
    }

private:
    void setTimes(Array& argument, const std::vector<double>& times) {
        int64_t number = times.size();
        if (number != argument.count)
            setShape(argument, {number}, torch::kDouble);
        argument.count = number;
        std::copy(times.begin(), times.end(), static_cast<double*>(argument.data));
        send(argument);
    }
    void setShape(Array& argument, at::IntArrayRef shape, torch::ScalarType type) {
        argument.host = torch::empty(shape, type);
        argument.data = argument.host.mutable_data_ptr();
        argument.value =
                device.is_cpu() ? argument.host : torch::empty(shape, argument.host.options().device(device));
    }
    void send(Array& argument) {
        if (!device.is_cpu())
            argument.value.toTensor().copy_(argument.host);
    }
    torch::Device device = torch::kCPU;
    torch::ScalarType scalarType = torch::kFloat;
    int64_t copies = 0;
};

} // namespace UniSimPlugin

#endif // OPENMM_UNISIMSTEPARGUMENTS_H_
