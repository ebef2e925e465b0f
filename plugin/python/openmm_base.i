/* What SWIG must know of OpenMM to derive from its classes.  Importing the wheel's own OpenMMSwigHeaders.i
   would need the Amoeba, Drude and RPMD headers as well. */
namespace OpenMM {

class Integrator {
public:
    virtual ~Integrator();
    virtual double getStepSize() const;
    virtual void setStepSize(double size);
    virtual void step(int steps);
};

} // namespace OpenMM
