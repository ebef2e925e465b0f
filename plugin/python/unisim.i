/* The low-level Python module: the C++ UniSimIntegrator with plain numbers in OpenMM's units (K, ps, nm,
   kJ/mol).  openmm_unisim/integrator.py adds units, Topologies and named errors. */
%module(moduleimport="from . import _unisim") _swig

%include "std_string.i"
%include "std_vector.i"
%include "std_pair.i"

%{
#include "UniSimIntegrator.h"
#include "UniSimTrust.h"
#include "internal/UniSimInterrupt.h"
#include "internal/UniSimNoise.h"
#include "internal/UniSimNotices.h"
#include "internal/UniSimStereocenters.h"
#include "openmm/OpenMMException.h"
#include "openmm/serialization/XmlSerializer.h"
#include <Python.h>
#include <sstream>
%}

%include "swig/typemaps.i"
%import(module="openmm") "openmm_base.i"

%{
namespace {

PyObject* getOpenMMException() {
    static PyObject* type = nullptr;
    if (type == nullptr) {
        PyObject* module = PyImport_ImportModule("openmm");
        if (module != nullptr) {
            type = PyObject_GetAttrString(module, "OpenMMException");
            Py_DECREF(module);
        }
    }
    return type == nullptr ? PyExc_RuntimeError : type;
}

/* What a signal handler raised during a jump.  It is kept aside, since a jump may also run within a call of
   OpenMM's own wrapper (CompoundIntegrator), which can't report its OpenMMException with another one set. */
PyObject* interruption[3] = {nullptr, nullptr, nullptr};

/* True if a signal handler, such as Ctrl-C's, raised an exception. */
bool isPythonInterrupted() {
    PyGILState_STATE state = PyGILState_Ensure();
    bool interrupted = PyErr_CheckSignals() != 0;
    if (interrupted) {
        for (PyObject* part : interruption)
            Py_XDECREF(part);
        PyErr_Fetch(&interruption[0], &interruption[1], &interruption[2]);
    }
    PyGILState_Release(state);
    return interrupted;
}

/* Raise again what the signal handler raised. */
void restoreInterruption() {
    PyErr_Restore(interruption[0], interruption[1], interruption[2]);
    interruption[0] = interruption[1] = interruption[2] = nullptr;
}

/* Ask openmm_unisim.pretrained.trust about a model file.  Whatever goes wrong there is a refusal. */
std::string refuseUntrusted(const std::string& file, const std::string& hash) {
    PyGILState_STATE state = PyGILState_Ensure();
    std::string refusal = "Model file '" + file + "' is refused, since openmm_unisim.pretrained.trust can't be asked.";
    PyObject *type, *value, *trace;
    PyErr_Fetch(&type, &value, &trace);
    PyObject* module = PyImport_ImportModule("openmm_unisim.pretrained.trust");
    PyObject* answer = module == nullptr ? nullptr
                                         : PyObject_CallMethod(module, "refusal", "ss", file.c_str(), hash.c_str());
    const char* text = answer == nullptr || !PyUnicode_Check(answer) ? nullptr : PyUnicode_AsUTF8(answer);
    if (text != nullptr)
        refusal = text;
    Py_XDECREF(answer);
    Py_XDECREF(module);
    PyErr_Clear();
    PyErr_Restore(type, value, trace);
    PyGILState_Release(state);
    return refusal;
}

/* Hand a notice to openmm_unisim.notices.hear.  False if the user made errors of warnings. */
bool hearNotice(const std::string& notice) {
    PyGILState_STATE state = PyGILState_Ensure();
    PyObject* module = PyImport_ImportModule("openmm_unisim.notices");
    PyObject* answer = module == nullptr ? nullptr : PyObject_CallMethod(module, "hear", "s", notice.c_str());
    const bool heard = answer != nullptr;
    Py_XDECREF(answer);
    Py_XDECREF(module);
    if (!heard) {
        for (PyObject* part : interruption)
            Py_XDECREF(part);
        PyErr_Fetch(&interruption[0], &interruption[1], &interruption[2]);
    }
    PyGILState_Release(state);
    return heard;
}

} // namespace
%}

%init %{
    UniSimPlugin::setUniSimNoticeHandler(hearNotice);
    UniSimPlugin::setUniSimInterruptCheck(isPythonInterrupted);
    UniSimPlugin::UniSimTrust::setCheck(refuseUntrusted);
%}

%exception {
    try {
        $action
    }
    catch (std::exception& error) {
        PyErr_SetString(getOpenMMException(), error.what());
        SWIG_fail;
    }
}

/* A jump takes long enough for other threads to work meanwhile. */
%exception UniSimPlugin::UniSimIntegrator::step {
    PyThreadState* thread = PyEval_SaveThread();
    try {
        $action
    }
    catch (UniSimPlugin::UniSimInterrupted& error) {
        PyEval_RestoreThread(thread);
        restoreInterruption();
        SWIG_fail;
    }
    catch (std::exception& error) {
        PyEval_RestoreThread(thread);
        PyErr_SetString(getOpenMMException(), error.what());
        SWIG_fail;
    }
    PyEval_RestoreThread(thread);
}

%template(vectori) std::vector<int>;
%template(vectord) std::vector<double>;
%template(pairii) std::pair<int, int>;
%template(vectorl) std::vector<long long>;
%template(vectors) std::vector<std::string>;
%template(vectorpairii) std::vector<std::pair<int, int>>;

%newobject UniSimPlugin::UniSimIntegrator::_fromXml;
#define OPENMM_EXPORT_UNISIM
%include "UniSimAcceptanceStatistics.h"
%include "UniSimTimings.h"
%include "UniSimIntegrator.h"

%extend UniSimPlugin::UniSimIntegrator {
    static UniSimPlugin::UniSimIntegrator* _fromXml(const std::string& xml) {
        if (xml.find("type=\"UniSimIntegrator\"") == std::string::npos)
            throw OpenMM::OpenMMException("The XML describes no UniSimIntegrator.");
        std::stringstream stream(xml);
        return OpenMM::XmlSerializer::deserialize<UniSimPlugin::UniSimIntegrator>(stream);
    }
    std::string _toXml() const {
        std::stringstream stream;
        OpenMM::XmlSerializer::serialize<UniSimPlugin::UniSimIntegrator>($self, "Integrator", stream);
        return stream.str();
    }
    static UniSimPlugin::UniSimIntegrator& _cast(OpenMM::Integrator& integrator) {
        return dynamic_cast<UniSimPlugin::UniSimIntegrator&>(integrator);
    }
    static bool _isinstance(OpenMM::Integrator& integrator) {
        return dynamic_cast<UniSimPlugin::UniSimIntegrator*>(&integrator) != nullptr;
    }
}

/* For the tests that compare noise and stereocenters with their twins in Python. */
%inline %{
std::vector<int> _findStereocenters(
        const std::vector<int>& atomicNumbers, const std::vector<std::pair<int, int>>& bonds) {
    const UniSimPlugin::UniSimStereocenters stereocenters(atomicNumbers, bonds);
    std::vector<int> found;
    for (const auto& center : stereocenters.getCenters())
        found.insert(found.end(), center.begin(), center.end());
    return found;
}

std::vector<double> _standardNormals(int seed, int stream, long long step, int substep, int particle) {
    OpenMM::Vec3 v = UniSimPlugin::UniSimNoise(seed).getNormals(
            (UniSimPlugin::UniSimNoise::Stream)stream, step, substep, particle);
    return {v[0], v[1], v[2]};
}

double _acceptanceUniform(int seed, long long step) {
    return UniSimPlugin::UniSimNoise(seed).getAcceptanceUniform(step);
}
%}
