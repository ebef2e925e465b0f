#include "internal/UniSimNoise.h"
#include <algorithm>
#include <bit>
#include <cmath>
#include <numbers>

using namespace OpenMM;

namespace UniSimPlugin {

namespace {

const std::uint32_t MULTIPLIER_0 = 0xD2511F53, MULTIPLIER_1 = 0xCD9E8D57;
const std::uint32_t WEYL_0 = 0x9E3779B9, WEYL_1 = 0xBB67AE85;
const std::uint32_t SECOND_BLOCK = 0x80000000;
const int ROUNDS = 10;

const int BLOCK = 64; // particles whose numbers are made side by side, so that the compiler can use vectors
const double LN_2 = std::numbers::ln2;

double uniform(std::uint32_t word) {
    return (word + 0.5) * 0x1p-32;
}

/**
 * The natural logarithm of 0 < u < 1, to about 1e-15: u = 2^e m with m from sqrt(1/2) to sqrt(2), and
 * log m = 2 (s + s^3/3 + s^5/5 + ...) with s = (m - 1)/(m + 1), of which s^23 is left out (below 1e-18).
 */
inline double logarithm(double u) {
    const std::int64_t SQRT_HALF = 0x3FE6A09E667F3BCD, MANTISSA = 0x000FFFFFFFFFFFFF;
    std::int64_t bits = std::bit_cast<std::int64_t>(u) - SQRT_HALF;
    double exponent = double(std::int32_t(std::uint64_t(bits) >> 52 << 20) >> 20);
    double m = std::bit_cast<double>((bits & MANTISSA) + SQRT_HALF);
    double s = (m - 1.0) / (m + 1.0), y = s * s, sum = 1.0 / 21;
    sum = sum * y + 1.0 / 19;
    sum = sum * y + 1.0 / 17;
    sum = sum * y + 1.0 / 15;
    sum = sum * y + 1.0 / 13;
    sum = sum * y + 1.0 / 11;
    sum = sum * y + 1.0 / 9;
    sum = sum * y + 1.0 / 7;
    sum = sum * y + 1.0 / 5;
    sum = sum * y + 1.0 / 3;
    return exponent * LN_2 + 2.0 * (s + s * y * sum);
}

/** Cosine and sine of 2 pi u, to about 1e-15: u is within an eighth of q quarters, and the rest has Taylor's
 * series to the 17th power (2e-18). */
inline void cosineAndSine(double u, double& cosine, double& sine) {
    int quarter = int(4.0 * u + 0.5);
    double x = 2.0 * std::numbers::pi * (u - 0.25 * quarter), y = x * x;
    double c = 1.0 / 20922789888000, s = 1.0 / 355687428096000;
    c = c * y - 1.0 / 87178291200;
    s = s * y - 1.0 / 1307674368000;
    c = c * y + 1.0 / 479001600;
    s = s * y + 1.0 / 6227020800;
    c = c * y - 1.0 / 3628800;
    s = s * y - 1.0 / 39916800;
    c = c * y + 1.0 / 40320;
    s = s * y + 1.0 / 362880;
    c = c * y - 1.0 / 720;
    s = s * y - 1.0 / 5040;
    c = c * y + 1.0 / 24;
    s = s * y + 1.0 / 120;
    c = c * y - 1.0 / 2;
    s = s * y - 1.0 / 6;
    c = c * y + 1.0;
    s = x + x * y * s;
    double turned = double(quarter & 1), sign = 1.0 - double(quarter & 2);
    cosine = sign * (c - turned * (c + s));
    sine = sign * (s + turned * (c - s));
}

} // namespace

UniSimNoise::UniSimNoise(int seed) : seed(static_cast<std::uint32_t>(seed)) {
}

UniSimNoise::Block UniSimNoise::philox(Block counter, std::uint32_t key0, std::uint32_t key1) {
    for (int round = 0; round < ROUNDS; round++) {
        std::uint64_t product0 = static_cast<std::uint64_t>(MULTIPLIER_0) * counter[0];
        std::uint64_t product1 = static_cast<std::uint64_t>(MULTIPLIER_1) * counter[2];
        std::uint32_t high0 = product0 >> 32, low0 = static_cast<std::uint32_t>(product0);
        std::uint32_t high1 = product1 >> 32, low1 = static_cast<std::uint32_t>(product1);
        counter = {high1 ^ counter[1] ^ key0, low1, high0 ^ counter[3] ^ key1, low0};
        key0 += WEYL_0;
        key1 += WEYL_1;
    }
    return counter;
}

UniSimNoise::Block UniSimNoise::getBlock(
        Stream stream, long long step, std::uint32_t substep, int particle) const {
    std::uint64_t number = static_cast<std::uint64_t>(step);
    Block counter = {static_cast<std::uint32_t>(particle), substep, static_cast<std::uint32_t>(number),
            static_cast<std::uint32_t>(number >> 32)};
    return philox(counter, seed, static_cast<std::uint32_t>(stream));
}

Vec3 UniSimNoise::getNormals(Stream stream, long long step, int substep, int particle) const {
    Vec3 normals;
    fillNormals(stream, step, substep, particle, 1, &normals);
    return normals;
}

void UniSimNoise::fillNormals(
        Stream stream, long long step, int substep, int first, int count, Vec3* normals) const {
    double u[4][BLOCK], xyz[3][BLOCK];
    for (int done = 0; done < count; done += BLOCK) {
        const int size = std::min(BLOCK, count - done);
        for (int i = 0; i < size; i++) {
            Block one = getBlock(stream, step, static_cast<std::uint32_t>(substep), first + done + i);
            Block two = getBlock(
                    stream, step, static_cast<std::uint32_t>(substep) | SECOND_BLOCK, first + done + i);
            u[0][i] = uniform(one[0]);
            u[1][i] = uniform(one[1]);
            u[2][i] = uniform(two[0]);
            u[3][i] = uniform(two[1]);
        }
        for (int i = 0; i < size; i++) {
            double cosine, sine, cosine2, unused;
            cosineAndSine(u[1][i], cosine, sine);
            cosineAndSine(u[3][i], cosine2, unused);
            double radius = std::sqrt(-2.0 * logarithm(u[0][i]));
            xyz[0][i] = radius * cosine;
            xyz[1][i] = radius * sine;
            xyz[2][i] = std::sqrt(-2.0 * logarithm(u[2][i])) * cosine2;
        }
        for (int i = 0; i < size; i++)
            normals[done + i] = Vec3(xyz[0][i], xyz[1][i], xyz[2][i]);
    }
}

UniSimNoise::Stream UniSimNoise::getCandidateStream(int candidate) {
    return candidate == 0 ? SubstepStream : static_cast<Stream>(FirstCandidateStream + candidate);
}

double UniSimNoise::getResamplingUniform(long long step) const {
    return uniform(getBlock(ResamplingStream, step, 0, 0)[0]);
}

double UniSimNoise::getAcceptanceUniform(long long step) const {
    return uniform(getBlock(AcceptanceStream, step, 0, 0)[0]);
}

} // namespace UniSimPlugin
