#ifndef UNISIM_PAIR_LAYER_H_
#define UNISIM_PAIR_LAYER_H_

#include "Layer.h"
#include "PairMessagesBackward.h"

/**
 * A whole attention layer over pairs, for some copies of the molecule, with its derivatives
 * (EquivariantAttention.forward):
 *
 *   symbol            meaning                                           name
 *   LN(x)             normalised scalars                                normed
 *   V1, V2, V3        mix of the vectors                                mixed
 *   o1, o2, o3        linear in y                                       gates
 *   dx                s o2 + o3, s = sum_xyz V1 V2                      finish
 *   dV                V3 o1 + Y                                         finish
 */
namespace UniSimPlugin {
namespace {

template <typename T, int W>
void messagesOf(const PairMessages<T>& p, int64_t pair, int64_t pairEnd, T* y, T* big, T* scratch) {
    using Vector = typename Lanes<T>::Vector;
    if (p.hidden == 64 && p.heads == 4)
        pairMessages<T, Vector, W, 64, 4>(p, pair, pairEnd, y, big, scratch);
    else if (p.hidden % Lanes<T>::WIDTH == 0)
        pairMessages<T, Vector, W, 0, 0>(p, pair, pairEnd, y, big, scratch);
    else
        pairMessages<T, T, W, 0, 0>(p, pair, pairEnd, y, big, scratch);
}

template <typename T, int W>
void messagesBackwardOf(const PairMessages<T>& p, const PairMessageGradients<T>& g, int64_t pair,
        int64_t pairEnd, T* scratch) {
    using Vector = typename Lanes<T>::Vector;
    if (p.hidden == 64 && p.heads == 4)
        pairMessagesBackward<T, Vector, W, 64, 4>(p, g, pair, pairEnd, scratch);
    else if (p.hidden % Lanes<T>::WIDTH == 0)
        pairMessagesBackward<T, Vector, W, 0, 0>(p, g, pair, pairEnd, scratch);
    else
        pairMessagesBackward<T, T, W, 0, 0>(p, g, pair, pairEnd, scratch);
}

/** Residual update of scalars and of vectors that hold the messages already. */
template <typename T>
void finish(const T* mixed, const T* gates, int64_t rows, int64_t hidden, T* scalars, T* vectors) {
    for (int64_t row = 0; row < rows; row++) {
        const T *gate = gates + row * 3 * hidden, *mix = mixed + row * 9 * hidden;
        T *x = scalars + row * hidden, *v = vectors + row * 3 * hidden;
#pragma omp simd
        for (int64_t c = 0; c < hidden; c++) {
            T product = 0;
            for (int d = 0; d < 3; d++) {
                product += mix[3 * d * hidden + c] * mix[(3 * d + 1) * hidden + c];
                v[d * hidden + c] += mix[(3 * d + 2) * hidden + c] * gate[c];
            }
            x[c] += product * gate[hidden + c] + gate[2 * hidden + c];
        }
    }
}

/** Gradients of `finish` by mixed and gates. */
template <typename T>
void finishBackward(const T* mixed, const T* gates, const T* scalarGradient, const T* vectorGradient,
        int64_t rows, int64_t hidden, T* mixedGradient, T* gateGradient) {
    for (int64_t row = 0; row < rows; row++) {
        const T *gate = gates + row * 3 * hidden, *mix = mixed + row * 9 * hidden;
        const T *gx = scalarGradient + row * hidden, *gv = vectorGradient + row * 3 * hidden;
        T *toMix = mixedGradient + row * 9 * hidden, *toGate = gateGradient + row * 3 * hidden;
#pragma omp simd
        for (int64_t c = 0; c < hidden; c++) {
            T product = 0, along = 0, scaled = gx[c] * gate[hidden + c];
            for (int d = 0; d < 3; d++) {
                const T one = mix[3 * d * hidden + c], two = mix[(3 * d + 1) * hidden + c];
                const T three = mix[(3 * d + 2) * hidden + c];
                product += one * two;
                along += gv[d * hidden + c] * three;
                toMix[3 * d * hidden + c] = scaled * two;
                toMix[(3 * d + 1) * hidden + c] = scaled * one;
                toMix[(3 * d + 2) * hidden + c] = gv[d * hidden + c] * gate[c];
            }
            toGate[c] = along;
            toGate[hidden + c] = gx[c] * product;
            toGate[2 * hidden + c] = gx[c];
        }
    }
}

/** Gradients of normaliseRows: by x, written, and by weight and bias, added to. */
template <typename T>
void normaliseRowsBackward(const T* x, const T* weight, T epsilon, const T* gradient, int64_t rows,
        int64_t width, T* result, T* weightGradient, T* biasGradient) {
    for (int64_t row = 0; row < rows; row++, x += width, gradient += width, result += width) {
        T mean = total(x, width) / T(width), variance = 0, sum = 0, along = 0;
#pragma omp simd reduction(+ : variance)
        for (int64_t c = 0; c < width; c++)
            variance += (x[c] - mean) * (x[c] - mean);
        T factor = T(1) / T(__builtin_sqrt(variance / T(width) + epsilon));
#pragma omp simd reduction(+ : sum, along)
        for (int64_t c = 0; c < width; c++) {
            T seen = (x[c] - mean) * factor, scaled = gradient[c] * weight[c];
            weightGradient[c] += gradient[c] * seen;
            biasGradient[c] += gradient[c];
            sum += scaled;
            along += scaled * seen;
        }
        sum /= T(width);
        along /= T(width);
#pragma omp simd
        for (int64_t c = 0; c < width; c++)
            result[c] = factor * (gradient[c] * weight[c] - sum - (x[c] - mean) * factor * along);
    }
}

template <typename T>
void pairLayer(const PairLayer<T>& layer, const PairLayerState<T>& s, int64_t atom, int64_t atomEnd,
        int64_t pair, int64_t pairEnd, T* scratch) {
    PairMessages<T> p = layer.messages;
    int64_t rows = atomEnd - atom, hidden = p.hidden, stride = p.stride();
    const T *x = s.scalars + atom * hidden, *v = s.vectors + atom * 3 * hidden;
    T *normed = s.normed + atom * hidden, *mixed = s.mixed + atom * 9 * hidden, *y = s.y + atom * hidden;
    T* gates = s.gates + atom * 3 * hidden;
    normaliseRows(x, layer.normWeight, layer.normBias, layer.epsilon, rows, hidden, normed);
    product<T>(normed, hidden, layer.node, layer.nodeBias, rows, hidden, stride, s.nodes + atom * stride,
            stride);
    fill(y, T(0), rows * hidden);
    __builtin_memcpy(s.newScalars + atom * hidden, x, rows * hidden * sizeof(T));
    __builtin_memcpy(s.newVectors + atom * 3 * hidden, v, rows * 3 * hidden * sizeof(T));
    p.nodes = s.nodes;
    p.vectors = s.vectors;
    switch (p.arrowCount) {
    case 1:
        messagesOf<T, 1>(p, pair, pairEnd, s.y, s.newVectors, scratch);
        break;
    case 2:
        messagesOf<T, 2>(p, pair, pairEnd, s.y, s.newVectors, scratch);
        break;
    }
    product<T>(v, hidden, layer.mix, nullptr, 3 * rows, hidden, 3 * hidden, mixed, 3 * hidden);
    product<T>(y, hidden, layer.output, layer.outputBias, rows, hidden, 3 * hidden, gates, 3 * hidden);
    finish(mixed, gates, rows, hidden, s.newScalars + atom * hidden, s.newVectors + atom * 3 * hidden);
}

/** Scratch of a block of copies, behind that of the messages. */
template <typename T>
struct LayerScratch {
    T *gates, *mixed, *y, *nodes, *normed, *rest;

    LayerScratch(T* scratch, int64_t rows, int64_t hidden, int64_t stride) {
        gates = scratch;
        mixed = gates + rows * 3 * hidden;
        y = mixed + rows * 9 * hidden;
        nodes = y + rows * hidden;
        normed = nodes + rows * stride;
        rest = normed + rows * hidden;
    }
};

template <typename T>
void pairLayerBackward(const PairLayer<T>& layer, const PairLayerState<T>& s, const PairLayerGradients<T>& g,
        int64_t atom, int64_t atomEnd, int64_t pair, int64_t pairEnd, T* scratch) {
    PairMessages<T> p = layer.messages;
    int64_t rows = atomEnd - atom, hidden = p.hidden, stride = p.stride(), three = 3 * hidden;
    LayerScratch<T> own(scratch, rows, hidden, stride);
    const T *gx = g.newScalars + atom * hidden, *gv = g.newVectors + atom * three;
    T *toScalars = g.scalars + atom * hidden, *toVectors = g.vectors + atom * three;
    finishBackward(
            s.mixed + atom * 9 * hidden, s.gates + atom * three, gx, gv, rows, hidden, own.mixed, own.gates);
    addOuter(own.gates, s.y + atom * hidden, three, hidden, rows, g.output, own.rest);
    addColumns(own.gates, rows, three, g.outputBias);
    product<T>(own.gates, three, layer.outputTransposed, nullptr, rows, three, hidden, own.y, hidden);
    addOuter(own.mixed, s.vectors + atom * three, three, hidden, 3 * rows, g.mix, own.rest);
    product<T>(own.mixed, three, layer.mixTransposed, nullptr, 3 * rows, three, hidden, toVectors, hidden);
    add(gv, rows * three, toVectors);
    fill(own.nodes, T(0), rows * stride);
    p.nodes = s.nodes;
    p.vectors = s.vectors;
    PairMessageGradients<T> of{own.y - atom * hidden, g.newVectors, own.nodes - atom * stride, g.vectors,
            g.edges, g.arrows, g.envelope, g.filter, g.filterBias};
    switch (p.arrowCount) {
    case 1:
        messagesBackwardOf<T, 1>(p, of, pair, pairEnd, own.rest);
        break;
    case 2:
        messagesBackwardOf<T, 2>(p, of, pair, pairEnd, own.rest);
        break;
    }
    addOuter(own.nodes, s.normed + atom * hidden, stride, hidden, rows, g.node, own.rest);
    addColumns(own.nodes, rows, stride, g.nodeBias);
    product<T>(own.nodes, stride, layer.nodeTransposed, nullptr, rows, stride, hidden, own.normed, hidden);
    normaliseRowsBackward(s.scalars + atom * hidden, layer.normWeight, layer.epsilon, own.normed, rows,
            hidden, toScalars, g.normWeight, g.normBias);
    add(gx, rows * hidden, toScalars);
}

} // namespace
} // namespace UniSimPlugin

#endif // UNISIM_PAIR_LAYER_H_
