#include "internal/UniSimNoise.h"
#include <cmath>
#include <numbers>

using namespace OpenMM;

namespace UniSimPlugin {

namespace {

const std::uint32_t MULTIPLIER_0 = 0xD2511F53, MULTIPLIER_1 = 0xCD9E8D57;
const std::uint32_t WEYL_0 = 0x9E3779B9, WEYL_1 = 0xBB67AE85;
const std::uint32_t SECOND_BLOCK = 0x80000000;
const int ROUNDS = 10;

double uniform(std::uint32_t word) {
    return (word + 0.5) * 0x1p-32;
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
    Block first = getBlock(stream, step, static_cast<std::uint32_t>(substep), particle);
    Block second = getBlock(stream, step, static_cast<std::uint32_t>(substep) | SECOND_BLOCK, particle);
    double radius = std::sqrt(-2.0 * std::log(uniform(first[0])));
    double angle = 2.0 * std::numbers::pi * uniform(first[1]);
    double radius2 = std::sqrt(-2.0 * std::log(uniform(second[0])));
    double angle2 = 2.0 * std::numbers::pi * uniform(second[1]);
    return Vec3(radius * std::cos(angle), radius * std::sin(angle), radius2 * std::cos(angle2));
}

double UniSimNoise::getAcceptanceUniform(long long step) const {
    return uniform(getBlock(AcceptanceStream, step, 0, 0)[0]);
}

} // namespace UniSimPlugin
