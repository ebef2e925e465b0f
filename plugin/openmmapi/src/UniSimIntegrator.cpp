#include "UniSimIntegrator.h"
#include "UniSimKernels.h"
#include "internal/ContextMoveUniSimDataKernel.h"
#include "internal/UniSimCounters.h"
#include "internal/UniSimGuidance.h"
#include "internal/UniSimJump.h"
#include "internal/UniSimModel.h"
#include "internal/UniSimNotices.h"
#include "internal/UniSimStopwatch.h"
#include "internal/UniSimSystemChecks.h"
#include "openmm/Context.h"
#include "openmm/OpenMMException.h"
#include "openmm/internal/ContextImpl.h"
#include "openmm/internal/OSRngSeed.h"
#include "openmm/kernels.h"
#include <cmath>
#include <sstream>

using namespace OpenMM;
using namespace std;

namespace UniSimPlugin {

namespace {

const int MAX_THREADS = 1024;   // more than any machine's cores: torch would die of a hundred thousand
const int MAX_REPEATS = 100000; // substeps, candidates: more than any use, less than a machine's memory

string describe(double value) {
    stringstream stream;
    stream << value;
    return stream.str();
}

void checkAtMost(int number, int limit, const string& what) {
    if (number > limit)
        throw OpenMMException("The number of " + what + " can't be above " + to_string(limit) + ", as " +
                              to_string(number) + " is; set a smaller one.");
}

} // namespace

UniSimIntegrator::UniSimIntegrator(
        const string& modelFile, double temperature, int numSubsteps, const string& expectedHash)
        : modelFile(modelFile), stopwatch(make_unique<UniSimStopwatch>()),
          model(make_shared<UniSimModel>(modelFile, expectedHash)), guidanceForceLimit(0.0),
          guidanceForceGroups(0xFFFFFFFF), numResampled(8), proposalBatchSize(1), randomNumberSeed(0),
          numThreads(0), acceptanceMode(AcceptAll), guidanceSource(NoGuidance), randomizesVelocities(true),
          keepsStereocenters(true), hasStateOfAnotherModel(false), particlesChanged(false), halfLoaded(false),
          counters(make_unique<UniSimCounters>()), jumpIndex(0), activeSeed(0) {
    model->setStopwatch(*stopwatch);
    Integrator::setStepSize(getLagTime());
    setConstraintTolerance(1e-5);
    setTemperature(temperature);
    setNumSubsteps(numSubsteps);
    guidanceSource = findGuidanceSource(getModelMetadata("guidance"));
    setGuidanceScale(model->getMetadata().getNumber("default_guidance_scale"));
}

UniSimIntegrator::~UniSimIntegrator() {
}

const string& UniSimIntegrator::getModelFile() const {
    return modelFile;
}

const string& UniSimIntegrator::getModelHash() const {
    return model->getHash();
}

string UniSimIntegrator::getModelMetadata(const string& key) const {
    return model->getMetadata().getText(key);
}

double UniSimIntegrator::getLagTime() const {
    return model->getMetadata().getNumber("lag_time_ps");
}

void UniSimIntegrator::setStepSize(double size) {
    double lagTime = getLagTime();
    if (!(fabs(size - lagTime) <= 1e-9 * lagTime))
        throw OpenMMException("The step size of this integrator is its model's lag time, " +
                              describe(lagTime) + " ps, and can't be " + describe(size) +
                              " ps; use a model of another lag time.");
}

double UniSimIntegrator::getTemperature() const {
    return temperature;
}

void UniSimIntegrator::setTemperature(double value) {
    if (!(value > 0) || !isfinite(value))
        throw OpenMMException("Temperature must be positive and finite, not " + describe(value) + " K.");
    temperature = value;
}

int UniSimIntegrator::getNumSubsteps() const {
    return (int)timeGrid.size() - 1;
}

void UniSimIntegrator::setNumSubsteps(int number) {
    if (number < 0)
        throw OpenMMException("The number of substeps can't be negative, as " + to_string(number) + " is.");
    checkAtMost(number, MAX_REPEATS, "substeps");
    if (number == 0)
        number = (int)model->getMetadata().getNumber("default_substeps");
    timeGrid = model->getTimeGrid(number);
}

const vector<double>& UniSimIntegrator::getTimeGrid() const {
    return timeGrid;
}

UniSimIntegrator::GuidanceSource UniSimIntegrator::getGuidanceSource() const {
    return guidanceSource;
}

void UniSimIntegrator::setGuidanceSource(GuidanceSource source) {
    checkServesGuidance(source, model->getMetadata());
    if (getModelMetadata("guidance") == "none") {
        if (source == NoGuidance)
            guidanceScale = 0.0; // all that setGuidanceScale() allows then
        else if (guidanceSource == NoGuidance && guidanceScale == 0.0)
            guidanceScale = 1.0;
    }
    guidanceSource = source;
}

double UniSimIntegrator::getGuidanceScale() const {
    return guidanceScale;
}

void UniSimIntegrator::setGuidanceScale(double scale) {
    if (!(scale >= 0) || !isfinite(scale))
        throw OpenMMException(
                "The guidance scale can't be negative, NaN or infinite, as " + describe(scale) + " is.");
    if (scale > 0 && guidanceSource == NoGuidance && getModelMetadata("guidance") == "none")
        model->getMetadata().fail("has no guidance, so the guidance scale can't be " + describe(scale) +
                                  "; set it to 0, set a guidance source, or use a model with guidance.");
    guidanceScale = scale;
}

int UniSimIntegrator::getGuidanceForceGroups() const {
    return guidanceForceGroups;
}

void UniSimIntegrator::setGuidanceForceGroups(int groups) {
    guidanceForceGroups = groups;
}

double UniSimIntegrator::getGuidanceForceLimit() const {
    return guidanceForceLimit;
}

void UniSimIntegrator::setGuidanceForceLimit(double limit) {
    if (!(limit >= 0) || !isfinite(limit))
        throw OpenMMException("The limit of guiding forces can't be negative, NaN or infinite, as " +
                              describe(limit) + " is; set 0 for none.");
    guidanceForceLimit = limit;
}

int UniSimIntegrator::getNumResampled() const {
    return numResampled;
}

void UniSimIntegrator::setNumResampled(int number) {
    if (number < 1)
        throw OpenMMException("A jump can't be chosen among " + to_string(number) + "; set 1 or more.");
    checkAtMost(number, MAX_REPEATS, "resampled jumps");
    numResampled = number;
}

UniSimIntegrator::AcceptanceMode UniSimIntegrator::getAcceptanceMode() const {
    return acceptanceMode;
}

void UniSimIntegrator::setAcceptanceMode(AcceptanceMode mode) {
    if (mode != AcceptAll && mode != MetropolisHastings)
        throw OpenMMException("There is no acceptance mode " + to_string((int)mode) +
                              "; use AcceptAll or MetropolisHastings.");
    acceptanceMode = mode;
}

bool UniSimIntegrator::getKeepsStereocenters() const {
    return keepsStereocenters;
}

void UniSimIntegrator::setKeepsStereocenters(bool keep) {
    keepsStereocenters = keep;
}

int UniSimIntegrator::getProposalBatchSize() const {
    return proposalBatchSize;
}

void UniSimIntegrator::setProposalBatchSize(int number) {
    if (number < 1)
        throw OpenMMException(to_string(number) + " jumps can't be proposed at once; set 1 or more.");
    proposalBatchSize = number;
}

const vector<int>& UniSimIntegrator::getParticles() const {
    return particles;
}

void UniSimIntegrator::setParticles(const vector<int>& indices) {
    for (int index : indices)
        if (index < 0)
            throw OpenMMException("A particle index can't be negative, as " + to_string(index) + " is.");
    particles = indices;
    particlesChanged = true;
}

const vector<int>& UniSimIntegrator::getAtomicNumbers() const {
    return atomicNumbers;
}

void UniSimIntegrator::setAtomicNumbers(const vector<int>& numbers) {
    for (int number : numbers)
        if (number < 1)
            throw OpenMMException("An atomic number must be positive, not " + to_string(number) + ".");
    atomicNumbers = numbers;
    particlesChanged = true;
}

const vector<pair<int, int>>& UniSimIntegrator::getBonds() const {
    return bonds;
}

void UniSimIntegrator::setBonds(const vector<pair<int, int>>& pairs) {
    for (auto [first, second] : pairs)
        if (first < 0 || second < 0 || first == second)
            throw OpenMMException("A bond must join two different particles, not " + to_string(first) +
                                  " and " + to_string(second) + ".");
    bonds = pairs;
    particlesChanged = true;
}

bool UniSimIntegrator::getRandomizesVelocities() const {
    return randomizesVelocities;
}

void UniSimIntegrator::setRandomizesVelocities(bool randomize) {
    randomizesVelocities = randomize;
}

int UniSimIntegrator::getRandomNumberSeed() const {
    return randomNumberSeed;
}

void UniSimIntegrator::setRandomNumberSeed(int seed) {
    randomNumberSeed = seed;
}

int UniSimIntegrator::getNumThreads() const {
    return numThreads;
}

void UniSimIntegrator::setNumThreads(int number) {
    if (number < 0)
        throw OpenMMException("The number of threads can't be negative, as " + to_string(number) +
                              " is; set 0 to let the integrator choose.");
    checkAtMost(number, MAX_THREADS, "threads");
    numThreads = number;
}

string UniSimIntegrator::getModelDevice() const {
    return model->getDevice();
}

void UniSimIntegrator::setModelDevice(const string& device) {
    model->setDevice(device);
}

long long UniSimIntegrator::getJumpIndex() const {
    return jumpIndex;
}

void UniSimIntegrator::setJumpIndex(long long index) {
    if (index < 0)
        throw OpenMMException("The number of a jump can't be negative, as " + to_string(index) + " is.");
    jumpIndex = index;
}

void UniSimIntegrator::initialize(ContextImpl& contextRef) {
    if (owner != NULL && &contextRef.getOwner() != owner)
        throw OpenMMException("This Integrator is already bound to a context");
    context = &contextRef;
    owner = &contextRef.getOwner();
    activeSeed = randomNumberSeed == 0 ? osrngseed() : randomNumberSeed;
    jumpIndex = 0;
    Platform& platform = contextRef.getPlatform();
    if (platform.supportsKernels({MoveUniSimDataKernel::Name()}))
        kernel = platform.createKernel(MoveUniSimDataKernel::Name(), contextRef);
    else
        kernel = Kernel(new ContextMoveUniSimDataKernel(platform));
    MoveUniSimDataKernel& data = kernel.getAs<MoveUniSimDataKernel>();
    const vector<int> jumping = findJumpingParticles(contextRef.getSystem(), *this);
    data.initialize(contextRef, jumping);
    jump = make_unique<UniSimJump>(contextRef, *this, data);
    facts = make_unique<UniSimSystemFacts>(findSystemFacts(contextRef.getSystem(), *this, jumping));
    particlesChanged = hasStateOfAnotherModel = halfLoaded = false;
}

void UniSimIntegrator::cleanup() {
    jump.reset();
    kernel = Kernel();
}

vector<string> UniSimIntegrator::getKernelNames() {
    // MoveUniSimDataKernel is not named: a platform without it is served through ContextImpl.
    return {IntegrateVerletStepKernel::Name()};
}

double UniSimIntegrator::computeKineticEnergy() {
    return kernel.getAs<MoveUniSimDataKernel>().computeKineticEnergy(*context);
}

double UniSimIntegrator::computeSystemTemperature() {
    if (context == NULL || jump == nullptr)
        throw OpenMMException("This Integrator is not bound to a context!");
    return 2.0 * computeKineticEnergy() / (countDegreesOfFreedom(context->getSystem()) * BOLTZMANN);
}

vector<string> UniSimIntegrator::getNotices() const {
    if (context == NULL || jump == nullptr)
        return {};
    vector<string> notices = findNotices(*context, *this, *facts);
    if (hasStateOfAnotherModel)
        notices.push_back(
                "The State was made with another model; its positions, velocities and box are taken, its "
                "seed, counts and number of jumps are not.");
    if (jump->hasRepeatedNoise())
        notices.push_back(
                "A jump had the noise of an earlier one in this Context, since a State or checkpoint set "
                "the number of the next jump back; walkers need seeds or jump numbers of their own "
                "(setJumpIndex(), UniSimReplicaExchangeSampler).");
    return notices;
}

bool UniSimIntegrator::kineticEnergyRequiresForce() const {
    return false;
}

void UniSimIntegrator::stateChanged(State::DataType changed) {
    if (changed == State::Positions)
        halfLoaded = false;
    if (jump != nullptr)
        jump->forgetAhead();
}

void UniSimIntegrator::checkContext() const {
    if (context == NULL || jump == nullptr)
        throw OpenMMException("This Integrator is not bound to a context!");
    if (particlesChanged)
        throw OpenMMException("setParticles(), setAtomicNumbers() or setBonds() was called after the Context "
                              "was created, which still has the old ones; call its reinitialize().");
    if (halfLoaded)
        throw OpenMMException(
                "A checkpoint was refused when its positions and time were already in the Context; "
                "load another one, or set the positions.");
}

void UniSimIntegrator::step(int steps) {
    checkContext();
    announceNotices();
    for (int i = 0; i < steps; i++)
        jump->execute();
    announceNotices();
}

void UniSimIntegrator::announceNotices() {
    for (const string& notice : getNotices())
        if (announced.insert(notice).second)
            announceUniSimNotice(notice);
}

} // namespace UniSimPlugin
