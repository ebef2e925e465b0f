#ifndef UNISIM_LAYER_WEIGHTS_H_
#define UNISIM_LAYER_WEIGHTS_H_

#include <ATen/ATen.h>

namespace UniSimPlugin {

/** The weights of a layer, in the order of openmm_unisim/model/inference.py. */
struct LayerWeights {
    at::Tensor normWeight, normBias, nodes, nodeBias, mix, output, outputBias;

    explicit LayerWeights(at::TensorList w)
            : normWeight(w[0]), normBias(w[1]), nodes(w[2]), nodeBias(w[3]), mix(w[4]), output(w[5]),
              outputBias(w[6]) {
    }
};

} // namespace UniSimPlugin

#endif // UNISIM_LAYER_WEIGHTS_H_
