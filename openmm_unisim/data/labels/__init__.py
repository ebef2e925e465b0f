"""Label sources: energies and forces of given positions by force fields and by quantum chemistry, in kJ/mol and nm."""
