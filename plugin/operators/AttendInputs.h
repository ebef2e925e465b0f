#ifndef UNISIM_ATTEND_INPUTS_H_
#define UNISIM_ATTEND_INPUTS_H_

#include "Levels.h"
#include "OperatorTools.h"

/** What `openmm_unisim::attend` takes, on whatever device; docs/architecture.md describes the arguments. */
namespace UniSimPlugin {

const int64_t MOST_ARROWS = 3;

/** The arguments of `attend`, contiguous and of shapes that agree. */
struct AttendInputs {
    at::Tensor nodes, vectors, index, mask, edges, weight, bias, arrows, envelope;

    AttendInputs(const at::Tensor& nodes, const at::Tensor& vectors, const at::Tensor& index,
            const at::Tensor& mask, const at::Tensor& edges, const at::Tensor& weight, const at::Tensor& bias,
            const at::Tensor& arrows, const at::Tensor& envelope)
            : nodes(nodes.contiguous()), vectors(vectors.contiguous()), index(index.contiguous()),
              mask(mask.contiguous()), edges(edges.contiguous()), weight(weight.contiguous()),
              bias(bias.contiguous()), arrows(arrows.contiguous()), envelope(envelope.contiguous()) {
        check();
    }

    int64_t atoms() const {
        return vectors.size(0);
    }
    int64_t hidden() const {
        return vectors.size(2);
    }
    int64_t slots() const {
        return index.size(1);
    }

    void check() const {
        TORCH_CHECK(vectors.dim() == 3 && vectors.size(1) == 3 && arrows.dim() == 4 && index.dim() == 2,
                "openmm_unisim::attend takes vectors (n, 3, H), arrows (n, K, 3, W) and index (n, K).");
        int64_t w = arrows.size(3), n = atoms(), k = slots(), rows = (3 + w) * hidden();
        TORCH_CHECK(w >= 1 && w <= MOST_ARROWS, "openmm_unisim::attend handles 1 to ", MOST_ARROWS,
                " vectors per edge, not ", w, "; use the plain layer.");
        TORCH_CHECK(nodes.sizes() == at::IntArrayRef({n, (4 + w) * hidden()}) &&
                            index.sizes() == at::IntArrayRef({n, k}) && mask.sizes() == index.sizes() &&
                            envelope.sizes() == index.sizes() &&
                            arrows.sizes() == at::IntArrayRef({n, k, 3, w}) && edges.dim() == 3 &&
                            edges.size(0) == n && edges.size(1) == k &&
                            weight.sizes() == at::IntArrayRef({rows, edges.size(2)}) &&
                            bias.sizes() == at::IntArrayRef({rows}),
                "openmm_unisim::attend was given arrays whose shapes don't agree; use EquivariantAttention.");
        for (const at::Tensor& other : {vectors, edges, weight, bias, arrows, envelope})
            TORCH_CHECK(other.scalar_type() == nodes.scalar_type(),
                    "openmm_unisim::attend takes arrays of one floating-point type.");
        TORCH_CHECK(index.scalar_type() == at::kLong && mask.scalar_type() == at::kBool,
                "openmm_unisim::attend takes an int64 index and a bool mask.");
    }

    template <typename T>
    AttendProblem<T> problem(const at::Tensor& panels, int64_t heads, bool vectorEnvelope) const {
        TORCH_CHECK(heads > 0 && hidden() % heads == 0,
                "openmm_unisim::attend takes channels that are a multiple of the heads.");
        AttendProblem<T> p{};
        p.slots = slots();
        p.hidden = hidden();
        p.heads = heads;
        p.arrowCount = arrows.size(3);
        p.features = edges.size(2);
        p.vectorEnvelope = vectorEnvelope;
        p.index = index.const_data_ptr<int64_t>();
        p.mask = mask.const_data_ptr<bool>();
        p.nodes = nodes.const_data_ptr<T>();
        p.vectors = vectors.const_data_ptr<T>();
        p.arrows = arrows.const_data_ptr<T>();
        p.envelope = envelope.const_data_ptr<T>();
        p.edges = edges.const_data_ptr<T>();
        p.bias = bias.const_data_ptr<T>();
        p.panels = panels.const_data_ptr<T>();
        return p;
    }
};

} // namespace UniSimPlugin

#endif // UNISIM_ATTEND_INPUTS_H_
