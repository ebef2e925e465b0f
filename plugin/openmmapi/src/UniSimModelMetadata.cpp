#include "internal/UniSimModelMetadata.h"
#include "UniSimOperators.h"
#include "openmm/OpenMMException.h"
#include <cmath>
#include <locale>
#include <sstream>

using namespace OpenMM;
using namespace std;

namespace UniSimPlugin {

UniSimModelMetadata::UniSimModelMetadata(const string& file) : file(file) {
}

void UniSimModelMetadata::setEntries(const map<string, string>& newEntries) {
    entries = newEntries;
    if (entries.find("format_version") == entries.end())
        fail("holds no UniSim metadata (no format_version); give a file written by `openmm-unisim export`.");
    double format = getNumber("format_version");
    if (format > FORMAT_VERSION)
        fail("has format " + getText("format_version") + ", and this version reads formats up to " +
                to_string(FORMAT_VERSION) + "; update openmm_unisim or export the model with this version.");
    if (entries.find("operators") != entries.end() && getNumber("operators") > getOperatorsVersion())
        fail("needs version " + getText("operators") + " of the fused operators, and this version has " +
                to_string(getOperatorsVersion()) +
                "; update openmm_unisim or export the model with --plain.");
    if (getNumber("lag_time_ps") <= 0)
        fail("has lag_time_ps " + getText("lag_time_ps") + ", which must be positive; export it again.");
    if (getNumber("default_substeps") < 1)
        fail("has default_substeps " + getText("default_substeps") +
                ", at least 1 is needed; export it again.");
    string scalarType = getText("scalar_type");
    if (scalarType != "float32" && scalarType != "float64")
        fail("has scalar_type '" + scalarType + "'; only float32 and float64 are known, so export it again.");
    getTemperatureRange();
    getNumbers("elements");
    getNumber("default_guidance_scale");
    getText("guidance");
    getFlag("forces_required");
    getFlag("periodic");
    getFlag("needs_bonds");
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
    throw OpenMMException("Model file '" + file + "' " + message);
}

} // namespace UniSimPlugin
