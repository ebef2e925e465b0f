#ifndef UNISIM_PAIR_TOOLS_H_
#define UNISIM_PAIR_TOOLS_H_

#include "OperatorTools.h"
#include "PairLevels.h"
#include <vector>

/** What the operators over pairs share: packed matrices, checks, and copies dealt out to threads. */
namespace UniSimPlugin {

const int64_t PAIR_BLOCK_ATOMS = 96; // whose arrays stay in the second-level cache

/** B = W^T of a linear layer with weight W (rows, inner), packed: x B = x W^T. */
template <typename T>
at::Tensor packed(const at::Tensor& weight) {
    int64_t columns = weight.size(0), inner = weight.size(1), panel = panelWidth(weight);
    at::Tensor result = at::empty({(columns + panel - 1) / panel, inner, panel}, weight.options());
    pairKernels<T>().pack(weight.const_data_ptr<T>(), inner, columns, 1, inner, result.data_ptr<T>());
    return result;
}

/** B = W, packed: x B = x W, the derivative by a layer's input. */
template <typename T>
at::Tensor packedTransposed(const at::Tensor& weight) {
    int64_t inner = weight.size(0), columns = weight.size(1), panel = panelWidth(weight);
    at::Tensor result = at::empty({(columns + panel - 1) / panel, inner, panel}, weight.options());
    pairKernels<T>().pack(weight.const_data_ptr<T>(), inner, columns, columns, 1, result.data_ptr<T>());
    return result;
}

/** Pairs (2, count) of atoms of copies of one molecule, ordered by copy. */
struct Pairs {
    at::Tensor index;
    std::vector<int64_t> start; // first pair of each copy, and their number

    /** `each`: atoms of a copy; `atoms`: of all copies. */
    Pairs(const at::Tensor& pairs, int64_t each, int64_t atoms) : index(pairs.contiguous()) {
        TORCH_CHECK(pairs.scalar_type() == at::kLong && pairs.dim() == 2 && pairs.size(0) == 2 && each >= 0 &&
                            (each == 0 ? atoms == 0 : atoms % each == 0),
                "A fused operator takes pairs (2, n_pairs) of copies of one molecule, from near_pairs.");
        checkSources(index, atoms);
        int64_t copies = each == 0 ? 0 : atoms / each;
        bool together = true;
        for (int64_t pair = 0; pair < count(); pair++) {
            int64_t copy = first()[pair] / each;
            together = together && copy == second()[pair] / each && copy + 1 >= int64_t(start.size());
            while (int64_t(start.size()) <= copy)
                start.push_back(pair);
        }
        start.resize(copies + 1, count());
        TORCH_CHECK(together,
                "A fused operator was given pairs that aren't ordered by copy; take them from near_pairs.");
    }
    int64_t copies() const {
        return int64_t(start.size()) - 1;
    }
    int64_t count() const {
        return index.size(1);
    }
    const int64_t* first() const {
        return index.const_data_ptr<int64_t>();
    }
    const int64_t* second() const {
        return first() + count();
    }
};

/** Threads for so many copies. */
inline int64_t shareCount(int64_t copies) {
    return std::max<int64_t>(1, std::min<int64_t>(at::get_num_threads(), copies));
}

/** Call work(share, copy, copyEnd) for each share of the copies, one share a thread. */
template <typename Work>
void overShares(int64_t copies, int64_t shares, const Work& work) {
    overDestinations(shares, 1, [&](int64_t begin, int64_t end) {
        for (int64_t k = begin; k < end; k++)
            work(k, copies * k / shares, copies * (k + 1) / shares);
    });
}

/** Call work(copy, copyEnd) for blocks of copies of about PAIR_BLOCK_ATOMS atoms. */
template <typename Work>
void overBlocks(int64_t copy, int64_t copyEnd, int64_t atoms, const Work& work) {
    int64_t size = std::max<int64_t>(1, PAIR_BLOCK_ATOMS / std::max<int64_t>(1, atoms));
    for (int64_t first = copy; first < copyEnd; first += size)
        work(first, std::min(first + size, copyEnd));
}

/** Atoms of the largest block. */
inline int64_t blockAtoms(int64_t atoms) {
    return std::max(atoms, PAIR_BLOCK_ATOMS);
}

/** Gradients that every thread adds to for itself. */
class SharedGradients {
public:
    SharedGradients(int64_t shares, at::TensorList like) : parts(shares) {
        for (auto& part : parts)
            for (const at::Tensor& x : like)
                part.push_back(at::zeros_like(x, at::MemoryFormat::Contiguous));
    }
    template <typename T>
    T* at(int64_t share, int64_t which) {
        return parts[share][which].template data_ptr<T>();
    }
    /** Their sums, in the order of the shares. */
    std::vector<at::Tensor> sums() {
        for (size_t k = 1; k < parts.size(); k++)
            for (size_t n = 0; n < parts[k].size(); n++)
                parts[0][n].add_(parts[k][n]);
        return parts[0];
    }

private:
    std::vector<std::vector<at::Tensor>> parts;
};

/** Fail unless all arrays have the floating-point type of the first. */
inline void checkOneType(const char* name, at::TensorList arrays) {
    for (const at::Tensor& x : arrays)
        TORCH_CHECK(x.scalar_type() == arrays[0].scalar_type(), "openmm_unisim::", name,
                " takes arrays of one floating-point type.");
}

} // namespace UniSimPlugin

#endif // UNISIM_PAIR_TOOLS_H_
