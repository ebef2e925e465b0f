#include "OperatorTools.h"
#include <cmath>
#include <torch/library.h>

/**
 * `openmm_unisim::published_table`: the published graph (openmm_unisim/model/graph.py defines it), with a
 * cell list; memory and time are linear in the atoms.
 *
 *   symbol              meaning                                         name
 *   molecule, x, y, z   cell of an atom, a little wider than the cutoff cell keys, one integer
 *   run                 three cells along z are neighbours in order     three keys in a row: one range
 *
 * Lengths are computed as the twin does, in the positions' type and order, so that the edges are the same
 * ones.
 */
namespace UniSimPlugin {
namespace {

using at::Tensor;
using Sources = std::vector<std::vector<int64_t>>;
const double CELL = 1.01;          // in cutoffs: rounding of a cell's number loses no pair
const double LARGEST_KEY = 4.0e18; // of int64

/** Atoms in the order of their cells. */
struct CellList {
    std::vector<int64_t> keys, order; // of the sorted atoms; which atom that is
    int64_t sizeY = 1, sizeZ = 1;

    template <typename T>
    CellList(const T* x, const int64_t* group, int64_t atoms, double edge) : keys(atoms), order(atoms) {
        double low[3] = {0, 0, 0}, high[3] = {0, 0, 0};
        int64_t groups = 0;
        for (int64_t i = 0; i < atoms; i++) {
            groups = std::max(groups, group[i] + 1);
            for (int c = 0; c < 3; c++) {
                double value = x[3 * i + c];
                TORCH_CHECK(std::isfinite(value),
                        "Positions hold NaN or infinite numbers, so no neighbours exist; "
                        "check the last step.");
                low[c] = i == 0 ? value : std::min(low[c], value);
                high[c] = i == 0 ? value : std::max(high[c], value);
            }
            TORCH_CHECK(group[i] >= 0, "openmm_unisim::published_table was given a negative molecule index.");
        }
        double cells[3];
        for (int c = 0; c < 3; c++)
            cells[c] = std::floor((high[c] - low[c]) / edge) + 3; // empty cells all around
        TORCH_CHECK(cells[0] * cells[1] * cells[2] * double(groups) < LARGEST_KEY,
                "The positions span too much space for a cell list; atoms have flown apart: check the last "
                "step.");
        sizeY = int64_t(cells[1]);
        sizeZ = int64_t(cells[2]);
        std::vector<std::pair<int64_t, int64_t>> sorted(atoms);
        for (int64_t i = 0; i < atoms; i++) {
            int64_t key = group[i] * int64_t(cells[0]);
            for (int c = 0; c < 3; c++)
                key = (c == 0 ? key : key * (c == 1 ? sizeY : sizeZ)) + 1 +
                      int64_t((double(x[3 * i + c]) - low[c]) / edge);
            sorted[i] = {key, i};
        }
        std::sort(sorted.begin(), sorted.end());
        for (int64_t i = 0; i < atoms; i++)
            std::tie(keys[i], order[i]) = sorted[i];
    }

    /** Positions in the sorted order at which a cell begins, and the end. */
    std::vector<int64_t> starts() const {
        std::vector<int64_t> result;
        for (size_t i = 0; i < keys.size(); i++)
            if (i == 0 || keys[i] != keys[i - 1])
                result.push_back(int64_t(i));
        result.push_back(int64_t(keys.size()));
        return result;
    }
};

/** What decides whether two atoms are joined. */
template <typename T>
struct EdgeRule {
    const T* x;
    const bool* hydrogen;
    T cutoff, hydrogenCutoff;

    bool joins(int64_t source, int64_t destination) const {
        const T *a = x + 3 * source, *b = x + 3 * destination;
        T dx = a[0] - b[0], dy = a[1] - b[1], dz = a[2] - b[2];
        T length = std::sqrt(dx * dx + dy * dy + dz * dz);
        return length < cutoff && !((hydrogen[source] || hydrogen[destination]) && length > hydrogenCutoff);
    }
};

/** Sources of the atoms of one cell, in rising order. */
template <typename T>
void searchCell(const CellList& list, const EdgeRule<T>& rule, int64_t first, int64_t last,
        std::vector<int64_t>& candidates, Sources& sources) {
    candidates.clear();
    for (int64_t x = -1; x <= 1; x++)
        for (int64_t y = -1; y <= 1; y++) {
            int64_t centre = list.keys[first] + (x * list.sizeY + y) * list.sizeZ;
            auto from = std::lower_bound(list.keys.begin(), list.keys.end(), centre - 1);
            auto to = std::upper_bound(from, list.keys.end(), centre + 1);
            candidates.insert(candidates.end(), list.order.begin() + (from - list.keys.begin()),
                    list.order.begin() + (to - list.keys.begin()));
        }
    std::sort(candidates.begin(), candidates.end());
    for (int64_t place = first; place < last; place++) {
        int64_t destination = list.order[place];
        for (int64_t source : candidates)
            if (rule.joins(source, destination))
                sources[destination].push_back(source);
    }
}

std::tuple<Tensor, Tensor> publishedTable(const Tensor& positions, const Tensor& group,
        const Tensor& hydrogen, double cutoff, double hydrogenCutoff) {
    Tensor x = positions.detach().contiguous(), molecule = group.contiguous(), h = hydrogen.contiguous();
    const int64_t atoms = x.size(0);
    TORCH_CHECK(x.dim() == 2 && x.size(1) == 3 && molecule.sizes() == at::IntArrayRef({atoms}) &&
                        h.sizes() == molecule.sizes() && molecule.scalar_type() == at::kLong &&
                        h.scalar_type() == at::kBool && cutoff > 0,
            "openmm_unisim::published_table takes positions (n, 3), an int64 molecule index (n,) and bools "
            "(n,).");
    Sources sources(atoms);
    AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "published_table", [&] {
        const scalar_t* from = x.const_data_ptr<scalar_t>();
        CellList list(from, molecule.const_data_ptr<int64_t>(), atoms, CELL * cutoff);
        EdgeRule<scalar_t> rule{from, h.const_data_ptr<bool>(), scalar_t(cutoff), scalar_t(hydrogenCutoff)};
        std::vector<int64_t> starts = list.starts();
        overDestinations(int64_t(starts.size()) - 1, 16, [&](int64_t begin, int64_t end) {
            std::vector<int64_t> candidates;
            for (int64_t cell = begin; cell < end; cell++)
                searchCell(list, rule, starts[cell], starts[cell + 1], candidates, sources);
        });
    });
    size_t slots = 1;
    for (const std::vector<int64_t>& own : sources)
        slots = std::max(slots, own.size());
    Tensor index = at::empty({atoms, int64_t(slots)}, molecule.options());
    Tensor mask = at::zeros({atoms, int64_t(slots)}, h.options());
    int64_t* indexTo = index.data_ptr<int64_t>();
    bool* maskTo = mask.data_ptr<bool>();
    for (int64_t i = 0; i < atoms; i++, indexTo += slots, maskTo += slots) {
        std::fill(std::copy(sources[i].begin(), sources[i].end(), indexTo), indexTo + slots, i);
        std::fill(maskTo, maskTo + sources[i].size(), true);
    }
    return {index, mask};
}

} // namespace

TORCH_LIBRARY_FRAGMENT(openmm_unisim, library) {
    library.def("published_table(Tensor positions, Tensor molecule_index, Tensor is_hydrogen, float cutoff, "
                "float "
                "hydrogen_cutoff) -> (Tensor, Tensor)");
}

TORCH_LIBRARY_IMPL(openmm_unisim, CPU, library) {
    library.impl("published_table", publishedTable);
}

} // namespace UniSimPlugin
