#ifndef UNISIM_OPERATOR_TOOLS_H_
#define UNISIM_OPERATOR_TOOLS_H_

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <algorithm>
#include <memory>

/** What the operators share: packed weights, scratch memory, threads. */
namespace UniSimPlugin {

const int64_t PANEL_BYTES_OF_WEIGHTS = 128; // PANEL_BYTES of SmallProduct.h
const int64_t HALF_PANEL_OF_WEIGHTS = 32;   // HALF_PANEL of HalfProduct.h

/** Columns of a panel of packed weights of the type of `x`. */
inline int64_t panelWidth(const at::Tensor& x) {
    return PANEL_BYTES_OF_WEIGHTS / x.element_size();
}

/** Fail unless no derivative is asked for, and all arrays have one floating-point type. */
inline void checkInference(const char* name, at::TensorList arrays) {
    for (const at::Tensor& x : arrays) {
        TORCH_CHECK(!(at::GradMode::is_enabled() && x.requires_grad()), "openmm_unisim::", name,
                " has no derivatives; call it within torch.no_grad(), or use_fused(module, True) for "
                "training.");
        TORCH_CHECK(x.scalar_type() == arrays[0].scalar_type(), "openmm_unisim::", name,
                " takes arrays of one floating-point type; prepare the module again after changing its "
                "type.");
    }
}

/** Whether weights are bfloat16 where the arrays, of type `own`, are float; any other difference is an error.
 */
inline bool isHalf(const at::Tensor& weights, at::ScalarType own) {
    const bool half = weights.scalar_type() == at::kBFloat16;
    TORCH_CHECK(half ? own == at::kFloat : weights.scalar_type() == own,
            "A fused operator was given weights of another type than its arrays; prepare the module again "
            "after changing its type.");
    return half;
}

/** Fail unless every slot names one of the atoms. */
inline void checkSources(const at::Tensor& index, int64_t atoms) {
    const int64_t *sources = index.const_data_ptr<int64_t>(), *end = sources + index.numel();
    TORCH_CHECK(std::all_of(sources, end, [atoms](int64_t j) { return j >= 0 && j < atoms; }),
            "A fused operator was given an index outside the atoms; check the neighbour table.");
}

/** Weights (rows, inner) of a linear layer as kernels/SmallProduct.h reads them: [rows /
 * PANEL][inner][PANEL]. */
inline at::Tensor packPanels(const at::Tensor& weight) {
    int64_t panel = panelWidth(weight);
    int64_t rows = weight.size(0), inner = weight.size(1), padded = (rows + panel - 1) / panel * panel;
    at::Tensor whole = padded == rows ? weight : at::constant_pad_nd(weight, {0, 0, 0, padded - rows});
    return whole.view({padded / panel, panel, inner}).transpose(1, 2).contiguous();
}

/** Uninitialised numbers of one thread. */
template <typename T>
class Scratch {
public:
    explicit Scratch(int64_t size) : numbers(new T[size]) {
    }
    T* get() {
        return numbers.get();
    }

private:
    std::unique_ptr<T[]> numbers;
};

/** Call work(first, last) for parts of [0, count); without torch's thread pool if there is one thread. */
template <typename Work>
void overDestinations(int64_t count, int64_t grain, const Work& work) {
    if (count == 0)
        return;
    if (at::get_num_threads() == 1 || count <= grain)
        work(0, count);
    else
        at::parallel_for(0, count, grain, work);
}

const int64_t BLOCK_ATOMS = 48; // atoms whose arrays of an operator stay in the second-level cache; measured

/**
 * Call work(first, last, scratch) for blocks of atoms, of whole units of `unit` atoms (that make up `atoms`),
 * so that memory beside arguments and results doesn't grow with the atoms: each thread has `scratch` numbers
 * for an atom of a block, and `shared` beside.
 */
template <typename T, typename Work>
void overBlocks(int64_t atoms, int64_t unit, int64_t scratch, int64_t shared, const Work& work) {
    int64_t share = (atoms + at::get_num_threads() - 1) / at::get_num_threads();
    int64_t units = std::max<int64_t>(1, std::min(BLOCK_ATOMS, share) / unit), size = units * unit;
    overDestinations((atoms + size - 1) / size, 1, [&](int64_t begin, int64_t end) {
        Scratch<T> numbers(std::min(size, atoms) * scratch + shared);
        for (int64_t block = begin; block < end; block++)
            work(block * size, std::min(atoms, (block + 1) * size), numbers.get());
    });
}

} // namespace UniSimPlugin

#endif // UNISIM_OPERATOR_TOOLS_H_
