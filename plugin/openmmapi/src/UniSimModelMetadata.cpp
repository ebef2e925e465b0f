#include "internal/UniSimModelMetadata.h"
#include "UniSimOperators.h"
#include "internal/UniSimText.h"
#include "openmm/OpenMMException.h"
#include <algorithm>
#include <cmath>
#include <locale>
#include <sstream>

using namespace OpenMM;
using namespace std;

namespace UniSimPlugin {

namespace {

/** Keys of docs/model_file.md by what their values must be. */
const vector<string> TEXTS = {"environment", "force_field", "masses", "weights_sha256", "torch_version",
        "source_commit", "training_data", "license"};
const vector<string> FLAGS = {
        "periodic", "conditioned_on_initial", "needs_bonds", "rigid_motion_removed", "forces_required"};
const vector<string> NOT_NEGATIVE = {
        "cutoff_nm", "friction", "guidance_alpha", "default_guidance_scale", "force_means_nm"};
const map<string, vector<string>> CHOICES = {{"symmetry", {"O(3)", "SO(3)"}},
        {"constraints", {"none", "h-bonds", "all-bonds", "h-angles"}},
        {"guidance", {"none", "learned", "openmm", "openmm+residual", "resample"}},
        {"scalar_type", {"float32", "float64"}}, {"container", {"torchscript", "aotinductor"}}};
const map<string, string> DEFAULTS = { // keys that older files lack
        {"operators", "0"}, {"container", "torchscript"}, {"processor", ""}, {"guidance_environment", ""},
        {"guidance_sources", ""}, {"force_means_nm", "0"}};
const string PACKAGE_SUFFIX = ".pt2";
const int HEAVIEST_ELEMENT = 118;

} // namespace

UniSimModelMetadata::UniSimModelMetadata(const string& file) : file(file) {
}

void UniSimModelMetadata::setEntries(const map<string, string>& newEntries) {
    entries = newEntries;
    if (entries.find("format_version") == entries.end())
        fail("holds no UniSim metadata (no format_version); give a file written by `openmm-unisim export`.");
    for (const auto& [key, value] : entries)
        if (toUtf8(value) != value)
            fail("has metadata " + key + " that are no UTF-8 text; export it again.");
    entries.insert(DEFAULTS.begin(), DEFAULTS.end());
    double format = getNumber("format_version");
    if (format < 1 || format != floor(format))
        fail("has format_version " + getText("format_version") + ", which is no format; export it again.");
    if (format > FORMAT_VERSION)
        fail("has format " + getText("format_version") + ", and this version reads formats up to " +
                to_string(FORMAT_VERSION) + "; update openmm_unisim or export the model with this version.");
    if (getNumber("operators") > getOperatorsVersion())
        fail("needs version " + getText("operators") + " of the fused operators, and this version has " +
                to_string(getOperatorsVersion()) +
                "; update openmm_unisim or export the model with --plain.");
    if (getNumber("lag_time_ps") <= 0)
        fail("has lag_time_ps " + getText("lag_time_ps") + ", which must be positive; export it again.");
    if (getNumber("default_substeps") < 1)
        fail("has default_substeps " + getText("default_substeps") +
                ", at least 1 is needed; export it again.");
    for (const string& key : TEXTS)
        getText(key);
    for (const string& key : FLAGS)
        getFlag(key);
    for (const string& key : NOT_NEGATIVE)
        if (getNumber(key) < 0)
            fail("has " + key + " " + getText(key) + ", which must not be negative; export it again.");
    for (const auto& [key, allowed] : CHOICES)
        if (find(allowed.begin(), allowed.end(), getText(key)) == allowed.end())
            fail("has " + key + " '" + getText(key).substr(0, 80) + "', which isn't known; export it again.");
    for (double element : getNumbers("elements"))
        if (element < 1 || element > HEAVIEST_ELEMENT || element != floor(element))
            fail("has elements '" + getText("elements").substr(0, 80) +
                    "', which aren't all atomic numbers; export it again.");
    auto [low, high] = getTemperatureRange();
    double training = getNumber("training_temperature_K");
    if (!(0 < low && low <= training && training <= high))
        fail("has a training_temperature_K " + getText("training_temperature_K") +
                " outside its temperature_range_K " + getText("temperature_range_K") + "; export it again.");
    if (getFlag("forces_required") && getText("guidance").compare(0, 6, "openmm") != 0)
        fail("requires forces with guidance '" + getText("guidance") +
                "', which takes none; export it again.");
    bool packaged = getText("container") == "aotinductor";
    if (packaged == getText("processor").empty())
        fail("has the container " + getText("container") + " with processor '" +
                getText("processor").substr(0, 80) + "'; export it again.");
    if (packaged != file.ends_with(PACKAGE_SUFFIX))
        fail("holds the container " + getText("container") +
                ", which its suffix doesn't say; AOTInductor packages end in .pt2, TorchScript archives "
                "don't: "
                "rename it.");
}

bool UniSimModelMetadata::contains(const string& key) const {
    return entries.find(key) != entries.end();
}

string UniSimModelMetadata::getText(const string& key) const {
    auto entry = entries.find(key);
    if (entry == entries.end())
        fail("lacks the metadata " + key + "; export it again with `openmm-unisim export`.");
    return entry->second;
}

vector<double> UniSimModelMetadata::getNumbers(const string& key) const {
    vector<double> numbers;
    stringstream list(getText(key));
    string item;
    while (getline(list, item, ',')) {
        istringstream stream(item);
        stream.imbue(locale::classic());
        double number;
        if (!(stream >> number) || !(stream >> ws).eof() || !isfinite(number))
            fail("has metadata " + key + " = '" + getText(key).substr(0, 80) +
                    "', which should be numbers; "
                    "export it again.");
        numbers.push_back(number);
    }
    return numbers;
}

double UniSimModelMetadata::getNumber(const string& key) const {
    vector<double> numbers = getNumbers(key);
    if (numbers.size() != 1)
        fail("has metadata " + key + " = '" + getText(key).substr(0, 80) +
                "', which should be one number; "
                "export it again.");
    return numbers[0];
}

bool UniSimModelMetadata::getFlag(const string& key) const {
    string text = getText(key);
    if (text != "true" && text != "false")
        fail("has metadata " + key + " = '" + text.substr(0, 80) +
                "', which should be true or false; "
                "export it again.");
    return text == "true";
}

pair<double, double> UniSimModelMetadata::getTemperatureRange() const {
    vector<double> range = getNumbers("temperature_range_K");
    if (range.size() != 2)
        fail("has a temperature_range_K that isn't two numbers; export it again.");
    return {range[0], range[1]};
}

void UniSimModelMetadata::fail(const string& message) const {
    throw OpenMMException(toUtf8("Model file '" + file + "' " + message));
}

} // namespace UniSimPlugin
